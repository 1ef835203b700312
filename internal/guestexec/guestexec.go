// Package guestexec runs a program in a guest and brings its exit code back.
//
// Invariants: an exit code comes from the frame that carries the nonce of this very call, and
// from nothing else that the guest says; an error means that the machine or the tool failed,
// or the cause that ended ctx, never the program; what follows the terminal's size has ended
// when Run returns.
package guestexec

import (
	"cmp"
	"context"
	"io"
	"os"

	"bottle.internal/internal/guestapi"
	"bottle.internal/pkg/smolvm"
)

// Machine is what a run needs of the VM tool; *smolvm.Client is one.
type Machine interface {
	Exec(ctx context.Context, o smolvm.ExecOptions) (int, error)
}

// Guest is a machine that runs.
type Guest struct {
	Machine Machine
	Name    string // of the machine
}

// Command is a program to run in the guest.
type Command struct {
	Argv    []string
	Workdir string // empty: the agent's working directory
	Root    bool   // run as the guest's root instead of the agent
}

// Stdio are the streams of a program in the guest.
type Stdio struct {
	Stdin  io.Reader // nil: nothing to read
	Stdout io.Writer
	Stderr io.Writer
	TTY    bool        // Stdin is a terminal that the program gets
	Sizes  <-chan Size // of the terminal: the first one and every change
	Term   string      // the kind of terminal; empty: as $TERM says
}

// Runner runs a program in one guest, as [Guest.Run] does.
type Runner func(ctx context.Context, command Command, stdio Stdio) (int, error)

// Run runs a program and returns the exit code that the guest reported.
func (g Guest) Run(ctx context.Context, command Command, stdio Stdio) (int, error) {
	nonce := guestapi.NewNonce()
	options := guestapi.ExecOptions{Nonce: nonce, User: guestapi.AgentUser, Workdir: command.Workdir, Command: command.Argv}
	if command.Root {
		options.User = guestapi.RootUser
	}
	if options.Workdir == "" {
		options.Workdir = guestapi.AgentWorkdir
	}
	call := smolvm.ExecOptions{Name: g.Name, Stdin: stdio.Stdin, Stdout: stdio.Stdout, Stderr: stdio.Stderr, TTY: stdio.TTY}
	// On a terminal the two streams are one, and the exit frame comes with the output.
	frames := &call.Stderr
	if stdio.TTY {
		frames = &call.Stdout
		// Not the nonce: the guest hides that, and who resizes shows the name to every process.
		options.Session = string(guestapi.NewNonce())
		options.Term = cmp.Or(stdio.Term, os.Getenv("TERM"))
		if !guestapi.ValidTerm(options.Term) {
			options.Term = ""
		}
		if size, ok := first(ctx, stdio.Sizes); ok {
			options.Rows, options.Cols = uint16(size.Rows), uint16(size.Cols)
		}
	}
	filter := guestapi.NewFrameFilter(*frames, nonce)
	*frames = filter
	call.Command = guestapi.ExecArgs(options)

	stop := g.followSize(ctx, options.Session, stdio.Sizes)
	code, err := g.Machine.Exec(ctx, call)
	stop()
	if closeErr := filter.Close(); err == nil {
		err = closeErr
	}
	code, err = filter.Result(code, err)
	if err != nil && ctx.Err() != nil {
		return code, context.Cause(ctx)
	}
	return code, err
}
