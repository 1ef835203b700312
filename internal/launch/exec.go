package launch

import (
	"cmp"
	"context"
	"os"
	"sync"
	"time"

	"bottle.internal/internal/guestapi"
	"bottle.internal/pkg/smolvm"
)

// Command is a program to run in the guest.
type Command struct {
	Argv    []string
	Workdir string // empty: the agent's working directory
	Root    bool   // run as the guest's root instead of the agent
}

// firstSize bounds the wait for the terminal's size before a program starts.
const firstSize = 100 * time.Millisecond

// Run runs the plan's agent and returns its exit code.
func (b *Bottle) Run(ctx context.Context, stdio Stdio) (int, error) {
	ctx, release := b.untilAuditFails(ctx)
	defer release()
	stdio, endLog := b.logged(ctx, stdio)
	code, err := Exec(ctx, b.deps.Machine, b.plan.VM.Name, Command{Argv: b.plan.Command, Workdir: b.plan.Workdir}, stdio)
	endLog()
	b.auditExit(ctx, code, err)
	if err == nil && b.searches() {
		b.search = b.searchGuest(ctx)
	}
	return b.verdict(code, err)
}

// Exec runs a program in a machine and returns the exit code that the guest reported.
// An error means that the machine or the tool failed, not the program.
func Exec(ctx context.Context, machine Machine, name string, command Command, stdio Stdio) (int, error) {
	nonce := guestapi.NewNonce()
	options := guestapi.ExecOptions{Nonce: nonce, User: guestapi.AgentUser, Workdir: command.Workdir, Command: command.Argv}
	if command.Root {
		options.User = guestapi.RootUser
	}
	if options.Workdir == "" {
		options.Workdir = guestapi.AgentWorkdir
	}
	call := smolvm.ExecOptions{Name: name, Stdin: stdio.Stdin, Stdout: stdio.Stdout, Stderr: stdio.Stderr, TTY: stdio.TTY}
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

	stop := followSize(ctx, machine, name, options.Session, stdio.Sizes)
	code, err := machine.Exec(ctx, call)
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

func first(ctx context.Context, sizes <-chan Size) (Size, bool) {
	if sizes == nil {
		return Size{}, false
	}
	select {
	case size := <-sizes:
		return size, true
	case <-ctx.Done():
	case <-time.After(firstSize):
	}
	return Size{}, false
}

// followSize passes every later size on, until stop.
func followSize(ctx context.Context, machine Machine, name, session string, sizes <-chan Size) (stop func()) {
	if session == "" || sizes == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case size := <-sizes:
				resize(ctx, machine, smolvm.ExecOptions{Name: name}, sized{session, size, sizes})
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

const (
	// The program may be only about to start when a size comes.
	sizeTries = 20
	sizePause = 250 * time.Millisecond
)

// sized is a size on its way to a session, unless there is a newer one.
type sized struct {
	session string
	size    Size
	newer   <-chan Size
}

// resize tries until the session takes the size. One that never does is a cosmetic loss.
func resize(ctx context.Context, machine Machine, call smolvm.ExecOptions, s sized) {
	for range sizeTries {
		call.Command = guestapi.WinsizeArgs(s.session, uint16(s.size.Rows), uint16(s.size.Cols))
		if code, err := machine.Exec(ctx, call); code == 0 && err == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case s.size = <-s.newer:
		case <-time.After(sizePause):
		}
	}
}
