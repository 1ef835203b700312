//go:build linux

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"bottle.internal/internal/lite/wire"
)

const (
	// maxOutput is smolvm's: plain exec buffers this much per stream, --stream passes
	// this much in all, and -i has no limit.
	maxOutput   = 11 << 20
	codeTimeout = 124
	// signalGrace is what a command gets after a signal before it is killed.
	signalGrace = time.Second
)

type execFlags struct {
	name, workdir            string
	env                      []string
	timeout                  durationValue
	interactive, tty, stream bool
	argv                     []string
}

func (a *App) exec(ctx context.Context, args []string) error {
	f, e := a.flags("exec", execHelp), &execFlags{}
	f.SetInterspersed(false) // what follows the command belongs to it
	f.StringVar(&e.name, "name", "default", "")
	f.StringVarP(&e.workdir, "workdir", "w", "", "")
	f.StringArrayVarP(&e.env, "env", "e", nil, "")
	f.Var(&e.timeout, "timeout", "")
	f.BoolVarP(&e.interactive, "interactive", "i", false, "")
	f.BoolVarP(&e.tty, "tty", "t", false, "")
	f.BoolVar(&e.stream, "stream", false, "")
	if err := f.parse(args, -1); err != nil {
		return err
	}
	if e.argv = f.Args(); len(e.argv) == 0 {
		return &usageError{"the following required arguments were not provided:\n  <COMMAND>..."}
	}
	return a.runExec(ctx, e)
}

func (a *App) shell(ctx context.Context, args []string) error {
	f := a.flags("shell", shellHelp)
	name := f.name()
	if err := f.parse(args, 0); err != nil {
		return err
	}
	return a.runExec(ctx, &execFlags{name: *name, interactive: true, tty: true, argv: []string{"/bin/sh"}})
}

func (a *App) runExec(ctx context.Context, e *execFlags) error {
	request := &wire.Exec{
		Argv: e.argv, Env: a.expandEnv(e.env), Dir: e.workdir, Stdin: e.interactive, TTY: e.tty,
	}
	if term := a.Getenv("TERM"); e.tty && term != "" {
		request.Env = append([]string{"TERM=" + term}, request.Env...)
	}
	terminal := openTerminal(a.Stdin, a.Stdout)
	if e.tty {
		request.Rows, request.Cols = terminal.size()
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	c, err := a.converse(ctx, e.name, wire.Request{Op: wire.OpExec, Exec: request})
	if err != nil {
		return err
	}
	defer c.done()
	if e.timeout > 0 { // it is the command's: a slow way to the machine is no machine that is not running
		limit := time.AfterFunc(time.Duration(e.timeout), func() { end(context.DeadlineExceeded) })
		defer limit.Stop()
	}
	if e.tty && e.interactive {
		defer terminal.raw()()
	}
	defer c.watchSignals(e.tty, terminal)()
	if e.interactive {
		go c.sendStdin(a.Stdin) // see send: nothing can wait for it
	}
	return a.finishExec(ctx, c, e)
}

// sendStdin takes a closed or unreadable stdin for an empty one.
func (c *conversation) sendStdin(r io.Reader) {
	if c.send(r) != nil {
		_ = c.conn.Send(wire.KindStdinEOF, nil)
	}
}

// finishExec passes the output on in the mode of the flags and returns the exit code.
func (a *App) finishExec(ctx context.Context, c *conversation, e *execFlags) error {
	stdout, stderr, flush := a.sinks(e)
	exit, err := c.receive(stdout, stderr)
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		flushErr := flush()
		_, _ = fmt.Fprintf(a.Stderr, "\ncommand timed out after %dms\n", time.Duration(e.timeout).Milliseconds())
		return errors.Join(exitError(codeTimeout), flushErr)
	}
	if s := c.killedBy.Load(); s != 0 && err != nil { // it did not end in time
		return errors.Join(exitError(128+int(s)), flush())
	}
	if errors.Is(err, errStreamLimit) {
		_, _ = fmt.Fprintln(a.Stderr, "error:", err)
		return exitError(1)
	}
	if err != nil {
		return fmt.Errorf("agent operation failed: %w", err)
	}
	if err := flush(); err != nil {
		return err
	}
	if exit.Error != "" {
		return fmt.Errorf("agent operation failed: %s", printable(exit.Error))
	}
	return exitError(exit.Code & 0xff)
}

var (
	errOutputLimit = fmt.Errorf("command output exceeded the %d byte limit: use -i for more", maxOutput)
	errStreamLimit = fmt.Errorf("streaming output exceeded %d byte cap; exec terminated", maxOutput)
)

// sinks are where the two streams go, and what is left to do at the end.
func (a *App) sinks(e *execFlags) (stdout, stderr io.Writer, flush func() error) {
	nothing := func() error { return nil }
	switch {
	case e.interactive || e.tty:
		return a.Stdout, a.Stderr, nothing
	case e.stream:
		left := maxOutput
		return &limited{a.Stdout, &left, errStreamLimit}, &limited{a.Stderr, &left, errStreamLimit}, nothing
	}
	var out, errs bytes.Buffer
	leftOut, leftErr := maxOutput, maxOutput
	return &limited{&out, &leftOut, errOutputLimit}, &limited{&errs, &leftErr, errOutputLimit}, func() error {
		_, err := a.Stdout.Write(out.Bytes())
		_, err2 := a.Stderr.Write(errs.Bytes())
		return errors.Join(err, err2)
	}
}

// limited fails once its budget, which others may share, is used up.
type limited struct {
	w    io.Writer
	left *int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if *l.left -= len(p); *l.left < 0 {
		return 0, l.err
	}
	return l.w.Write(p)
}

// watchSignals passes signals on to the command. One that does not end by it is left
// to the guest, which kills what lost its client.
func (c *conversation) watchSignals(tty bool, terminal terminal) (stop func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if tty {
		signal.Notify(signals, syscall.SIGWINCH)
	}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var late <-chan time.Time
		for {
			select {
			case <-quit:
				return
			case <-late:
				c.done()
				return
			case s := <-signals:
				if s == syscall.SIGWINCH {
					rows, cols := terminal.size()
					_ = c.conn.SendResize(rows, cols)
					continue
				}
				number := s.(syscall.Signal) //nolint:forcetypeassert // of this system it is
				if late == nil {
					c.killedBy.CompareAndSwap(0, int32(number))
					late = time.After(signalGrace)
				}
				_ = c.conn.Send(wire.KindSignal, []byte{byte(number)})
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(quit)
		<-ended
	}
}
