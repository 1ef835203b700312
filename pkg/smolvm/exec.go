package smolvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"bottle.internal/internal/execx"
)

// ExecOptions say what to run in a machine, as root. Nil streams are empty or discarded.
//
// There is no environment here: `-e` would put it on argv. Send it on Stdin.
type ExecOptions struct {
	Name    string
	Workdir string   // absolute; empty: the machine's
	Command []string // no shell, unless it is one
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	TTY     bool // Stdin, Stdout and Stderr are our terminal, as *os.File
}

// execArgs always has -i: it is the only mode that is live, keeps the streams apart
// and has no limit on output. -e and --stream are never used.
func execArgs(o ExecOptions) (invocation, error) {
	err := checkName(o.Name)
	args := []string{"machine", "exec", "--name", o.Name}
	if o.Workdir != "" {
		err = errors.Join(err, checkGuestPath("working directory", o.Workdir))
		args = append(args, "--workdir", o.Workdir)
	}
	args = append(args, "-i")
	if o.TTY {
		args = append(args, "-t")
	}
	if len(o.Command) == 0 || o.Command[0] == "" {
		err = errors.Join(err, fmt.Errorf("%w: no command", ErrInvalid))
	}
	for _, word := range o.Command {
		err = errors.Join(err, checkBytes("command", word))
	}
	return invocation{args: append(append(args, "--"), o.Command...)}, err
}

// Exec runs a program in a machine and returns its exit code, 128+n if signal n killed
// it. Errors are about the tool or the machine ([ErrNotFound], [ErrNotRunning]) as far
// as can be told: the tool fails with 1 like many programs, and what a program writes
// to stderr decides nothing. Who must know wraps the command in a frame of its own.
//
// A Read of Stdin that is in progress when the program ends is left to itself, unless
// Stdin is an *os.File: that one is handed to the tool.
func (c *Client) Exec(ctx context.Context, o ExecOptions) (int, error) {
	code, err := c.exec(ctx, o)
	if err != nil {
		return code, fmt.Errorf("running a program in machine %s: %w", o.Name, err)
	}
	return code, nil
}

func (c *Client) exec(ctx context.Context, o ExecOptions) (int, error) {
	call, err := execArgs(o)
	if err != nil {
		return -1, err
	}
	command := c.command(call)
	command.Stdout, command.Stderr = o.Stdout, o.Stderr
	command.KeepGroup = o.TTY || isTerminal(o.Stdin)
	err = runFed(ctx, command, o.Stdin)
	exit := (*execx.ExitError)(nil)
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit), ctx.Err() != nil, exit.Code < 0:
		return -1, c.explain(err)
	case exit.Code == 1 && (command.KeepGroup || strings.Contains("\n"+exit.Stderr, "\nError: ")):
		return c.whose(ctx, o.Name)
	}
	return exit.Code, nil
}

// whose finds out whether an exit status of 1 can be the program's.
func (c *Client) whose(ctx context.Context, name string) (int, error) {
	machine, err := c.status(ctx, name)
	if err != nil {
		return -1, err
	}
	if !machine.Running() {
		return -1, fmt.Errorf("%w: it is %.40q", ErrNotRunning, machine.State)
	}
	return 1, nil
}

func isTerminal(stream io.Reader) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// runFed runs a command with any reader as its input. os/exec would wait for the
// reader after the command's end; a terminal or a pipe may never end.
func runFed(ctx context.Context, command execx.Cmd, input io.Reader) error {
	if file, ok := input.(*os.File); ok || input == nil {
		if ok {
			command.Stdin = file
		}
		return execx.Run(ctx, command)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	defer write.Close() // also while the reader is still waiting; a second Close is harmless
	command.Stdin = read
	running, err := execx.Start(ctx, command)
	_ = read.Close()
	if err != nil {
		return err
	}
	go func() { // ends with its reader: nothing can interrupt a Read
		_, _ = io.Copy(write, input)
		_ = write.Close()
	}()
	return running.Wait()
}
