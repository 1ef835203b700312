// Package execx is the only place that starts other programs.
//
// Every child gets its own process group, so that ending it ends what it started;
// cancelling the context sends SIGINT to the group and, after Grace, SIGKILL. A
// failure is an [*ExitError] with a bounded tail of stderr in which secrets are
// replaced. The environment is passed whole: nothing is inherited by accident.
package execx

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"bottle.internal/internal/excerpt"
	"bottle.internal/internal/secret"
)

// DefaultGrace is the time between SIGINT and SIGKILL when Cmd.Grace is zero.
const DefaultGrace = 2 * time.Second

// drainTime bounds the wait for the output of a program that has exited: whoever reads
// it may be slow, but a stray grandchild must not keep us for ever.
const drainTime = 30 * time.Second

// ErrNotFound is returned by Find and wrapped when a program does not exist.
var ErrNotFound = exec.ErrNotFound

// ErrWaitDelay is wrapped when a program ended but something kept its output open.
var ErrWaitDelay = exec.ErrWaitDelay

// Cmd describes one run of a program.
type Cmd struct {
	Path   string   // a path, or a name that is looked up in PATH
	Args   []string // without the program itself
	Env    []string // the whole environment; nil means empty, os.Environ() inherits
	Dir    string
	Stdin  io.Reader // nil means /dev/null
	Stdout io.Writer // nil means discarded
	Stderr io.Writer // nil means only the tail is kept
	Grace  time.Duration
	Redact []secret.Value // replaced in the stderr tail of an error
	Files  []*os.File     // inherited as fd 3, 4, ...

	// LeavesDaemon says that the program may leave one behind that holds our pipes: after
	// its exit the output is waited for no longer than Grace.
	LeavesDaemon bool
	// KeepGroup leaves the child in our process group and session. A program that
	// shares our terminal needs that: a background group may not read from it.
	KeepGroup bool
	// User runs the program under another uid and gid, without other groups; for root only.
	User *User
	// DieWithUs makes the kernel kill the child when this process dies (Linux only).
	DieWithUs bool
}

// User is whom a program runs as.
type User struct{ UID, GID int }

// Find returns the absolute path of a program on PATH.
func Find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// Run runs the program to its end.
func Run(ctx context.Context, cmd Cmd) error {
	process, err := Start(ctx, cmd)
	if err != nil {
		return err
	}
	return process.Wait()
}

// Output runs the program and returns its standard output.
func Output(ctx context.Context, cmd Cmd) ([]byte, error) {
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	err := Run(ctx, cmd)
	return stdout.Bytes(), err
}

// Process is a started program. Its owner calls Wait exactly once.
type Process struct {
	ctx    context.Context //nolint:containedctx // the context that Wait explains a failure with
	cmd    *exec.Cmd
	name   string
	tail   *excerpt.Tail
	redact []secret.Value
	kill   *time.Timer // set by a cancelled context; read after Wait
}

// Start starts the program and returns at once.
func Start(ctx context.Context, cmd Cmd) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(cmd.Path), context.Cause(ctx))
	}
	process := &Process{ctx: ctx, name: filepath.Base(cmd.Path), tail: &excerpt.Tail{Limit: tailSize}, redact: cmd.Redact}
	c := exec.CommandContext(ctx, cmd.Path, cmd.Args...)
	c.Env = cmd.Env
	if c.Env == nil {
		c.Env = []string{}
	}
	c.Dir, c.Stdin, c.Stdout, c.ExtraFiles = cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Files
	c.Stderr = process.tail
	if cmd.Stderr != nil {
		c.Stderr = io.MultiWriter(cmd.Stderr, process.tail)
		if file, ok := cmd.Stderr.(*os.File); ok && cmd.KeepGroup {
			c.Stderr = file // a terminal program must see the terminal itself
		}
	}
	c.SysProcAttr = sysProcAttr(cmd)
	if cmd.User != nil {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(cmd.User.UID), Gid: uint32(cmd.User.GID)}
	}
	grace := cmp.Or(cmd.Grace, DefaultGrace)
	c.WaitDelay = grace + drainTime
	if cmd.LeavesDaemon {
		c.WaitDelay = grace
	}
	c.Cancel = func() error {
		process.kill = time.AfterFunc(grace, func() { killGroup(c) })
		return process.Signal(syscall.SIGINT)
	}
	process.cmd = c
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", process.name, err)
	}
	return process, nil
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal signals the program's whole process group.
func (p *Process) Signal(signal syscall.Signal) error {
	return signalGroup(p.cmd, signal)
}

// Wait waits for the end. After a cancelled context, whatever is left of the process
// group is killed; otherwise a program may leave a daemon behind.
func (p *Process) Wait() error {
	err := p.cmd.Wait()
	if p.kill != nil {
		p.kill.Stop()
		killGroup(p.cmd)
	}
	if err == nil {
		return nil
	}
	failure := &ExitError{Name: p.name, Code: -1, Stderr: redact(p.tail.String(), p.redact), err: err}
	if cause := context.Cause(p.ctx); cause != nil {
		failure.err = errors.Join(cause, err)
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		failure.Code = exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			failure.Signal = status.Signal()
		}
	}
	return failure
}

// StartDetached starts a program in a session of its own that outlives this process,
// and does not wait for it. Output goes to the given file, or nowhere.
func StartDetached(cmd Cmd, output *os.File) (pid int, err error) {
	c := exec.Command(cmd.Path, cmd.Args...) //nolint:noctx // detached on purpose: no context ends it
	c.Env = cmd.Env
	if c.Env == nil {
		c.Env = []string{}
	}
	c.Dir, c.Stdin, c.ExtraFiles = cmd.Dir, cmd.Stdin, cmd.Files
	if output != nil {
		c.Stdout, c.Stderr = output, output
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return 0, fmt.Errorf("starting %s: %w", filepath.Base(cmd.Path), err)
	}
	pid = c.Process.Pid
	// While we live, somebody must reap it; afterwards that is init's duty.
	go func() { _ = c.Wait() }()
	return pid, nil
}
