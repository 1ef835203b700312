//go:build integration

package integration

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"bottle.internal/tests/eventually"
	"bottle.internal/tests/integration/rig"
	"bottle.internal/tests/logtest"
)

// process is a bottle command that a test talks to while it runs.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr logtest.Buffer // so far
	terminal       *os.File       // ours of the pair, if it has one
	ended          chan struct{}
	code           int // after ended; 128 and more: by a signal
}

// start runs bottle in a process group of its own, as a shell would.
func (w *world) start(stdin io.Reader, args ...string) (*process, error) {
	p := &process{cmd: w.command(args...), ended: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.wait()
	return p, nil
}

// startOnTerminal runs bottle on a terminal of its own.
func (w *world) startOnTerminal(size *pty.Winsize, args ...string) (*process, error) {
	p := &process{cmd: w.command(args...), ended: make(chan struct{})}
	terminal, err := pty.StartWithSize(p.cmd, size)
	if err != nil {
		return nil, err
	}
	p.terminal = terminal
	go func() { _, _ = io.Copy(&p.stdout, terminal) }()
	go p.wait()
	return p, nil
}

func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(w.Bottle, args...)
	cmd.Env, cmd.Dir = rig.Set(w.Env, "TERM=xterm"), w.Dir
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func (p *process) wait() {
	err := p.cmd.Wait()
	p.code = p.cmd.ProcessState.ExitCode()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		p.code = 128 + int(status.Signal()) // as a shell says it
	}
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		p.code = -2
	}
	close(p.ended)
}

// said waits until the process has printed text.
func (p *process) said(t *testing.T, text string) {
	t.Helper()
	eventually.Fine(t, 3*time.Minute, func() string {
		if strings.Contains(p.stdout.String(), text) || strings.Contains(p.stderr.String(), text) {
			return ""
		}
		select {
		case <-p.ended:
			t.Fatalf("it ended without saying %q:\n%s", text, p)
		default:
		}
		return "it has not said " + text + ":\n" + p.String()
	})
}

// end waits for the exit code.
func (p *process) end(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		t.Fatalf("it still runs after %v:\n%s", within, p)
	}
	return p.code
}

func (p *process) String() string {
	return "stdout:\n" + p.stdout.String() + "\nstderr:\n" + p.stderr.String()
}

// group signals the process and whatever it started, as a terminal's ^C does.
func (p *process) group(signal syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, signal) }

// finish is for cleanups: it ends what still runs, kindly first.
func (p *process) finish() {
	if p == nil {
		return
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		_ = p.cmd.Process.Signal(signal)
		select {
		case <-p.ended:
			if p.terminal != nil {
				_ = p.terminal.Close()
			}
			return
		case <-time.After(15 * time.Second):
		}
	}
}

// launch starts an agent that is ended at the latest with the test, with everything that
// it may have left, so that one failure does not become many.
func (w *world) launch(t *testing.T, agent string) *process {
	t.Helper()
	p, err := w.start(nil, "start", agent, "--yes", "--rm")
	if err != nil {
		t.Fatal(err)
	}
	w.endWith(t, agent, p)
	return p
}

func (w *world) endWith(t *testing.T, agent string, p *process) {
	t.Cleanup(func() {
		p.finish()
		if !t.Failed() {
			return
		}
		if agent != sharedAgent {
			_ = w.Reap(context.WithoutCancel(t.Context()), w.engine, agent+"-")
		}
		t.Log(p)
	})
}

// bottle runs a command of bottle to its end.
func (w *world) bottle(t *testing.T, args ...string) rig.Result {
	t.Helper()
	result, err := w.Run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// good is bottle, which must exit 0.
func (w *world) good(t *testing.T, args ...string) rig.Result {
	t.Helper()
	result := w.bottle(t, args...)
	if result.Code != 0 {
		t.Fatalf("bottle %s: %s", strings.Join(args, " "), result)
	}
	return result
}
