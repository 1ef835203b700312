package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"bottle.internal/internal/app"
	"bottle.internal/internal/console"
	"bottle.internal/internal/detach"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/termsafe"
)

func attachCommand() command {
	return command{
		name: "attach", args: "IDENTITY",
		summary: "come to the terminal of a detached bottle's agent",
		help: `Several may be attached; the screen is the smallest one's. Detach with ctrl-p ctrl-q:
the agent runs on. When it ends, attach ends with its exit code.

Without a terminal what the agent prints is copied as plain text, and nothing is typed
unless --stdin is given.

  bottle attach demo-x7k2p
  bottle attach --read-only demo-x7k2p
  bottle attach demo-x7k2p >log.txt`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			a := &attachFlags{}
			flags.BoolVar(&a.readOnly, "read-only", false, "look, and type nothing")
			flags.StringVar(&a.keys, "detach-keys", console.DefaultDetachKeys, "the `keys` that detach, or none: \"\"")
			flags.BoolVar(&a.stdin, "stdin", false, "without a terminal: type what comes on stdin")
			raw := rawFlag(flags)
			return func(ctx context.Context, s *session) error {
				s.raw = *raw
				return s.attach(ctx, a)
			}
		},
	}
}

type attachFlags struct {
	readOnly, stdin bool
	keys            string
}

func (s *session) attach(ctx context.Context, a *attachFlags) error {
	identity, err := s.one("bottle")
	if err != nil {
		return err
	}
	viewer := console.Viewer{ReadOnly: a.readOnly}
	if viewer.Keys, err = console.ParseKeys(a.keys); err != nil {
		return &usageError{text: err.Error()}
	}
	var end app.Attached
	if s.interactive() {
		end, err = s.attachTerminal(ctx, identity, viewer)
	} else {
		end, err = s.attachPlain(ctx, identity, viewer, a.stdin && !a.readOnly)
	}
	leftover := (*launch.LeftoverError)(nil)
	switch {
	case errors.As(err, &leftover): // the agent has ended all the same
		return errors.Join(exitWith(end.Code), err)
	case errors.Is(err, console.ErrDetached), errors.Is(err, context.Canceled):
		fmt.Fprintf(s.Stderr, "bottle: detached from %s, which runs on; to come back: bottle attach %s\n", identity, identity)
		if errors.Is(err, console.ErrDetached) {
			return nil
		}
		return &guestExit{exitInterrupted}
	case err != nil:
		return err
	case end.Problem != "":
		err = errors.New(end.Problem)
	default:
		err = exitWith(end.Code)
	}
	if end.Kept {
		return &keptError{identity: identity, err: err}
	}
	return err
}

// attachTerminal gives the person's terminal to the agent, filtered.
func (s *session) attachTerminal(ctx context.Context, identity string, viewer console.Viewer) (app.Attached, error) {
	fd := int(s.Stdin.Fd())
	saved, err := term.MakeRaw(fd)
	if err != nil {
		return app.Attached{}, fmt.Errorf("attaching the terminal: %w", err)
	}
	defer func() { _ = term.Restore(fd, saved) }()
	var end app.Attached
	_, err = s.attached(ctx, func(ctx context.Context, stdio guestexec.Stdio) (int, error) {
		viewer.Stdin, viewer.Stdout, viewer.Sizes = stdio.Stdin, stdio.Stdout, stdio.Sizes
		var err error
		end, err = s.app.Attach(ctx, identity, viewer)
		return 0, err
	})
	return end, err
}

// attachPlain copies text. --raw copies every byte.
func (s *session) attachPlain(ctx context.Context, identity string, viewer console.Viewer, stdin bool) (app.Attached, error) {
	viewer.Keys = nil
	if stdin && s.Stdin != nil {
		viewer.Stdin = s.Stdin
	}
	if viewer.Stdout = s.Stdout; !s.raw {
		text := termsafe.NewText(func(line string) { fmt.Fprintln(s.Stdout, line) })
		defer text.Close()
		viewer.Stdout = text
	}
	return s.app.Attach(ctx, identity, viewer)
}

// detach leaves the bottle to a process of its own, and says how to come to it.
func (s *session) detach(ctx context.Context, d app.Detached) error {
	if s.interactive() {
		if cols, rows, err := term.GetSize(int(s.Stdin.Fd())); err == nil {
			d.Rows, d.Cols = rows, cols
		}
	}
	err := s.app.Detach(ctx, d)
	if failure := (*detach.Failure)(nil); errors.As(err, &failure) {
		fmt.Fprint(s.Stderr, failure.Text) // what it says is safe already
		return &guestExit{failure.Code}
	}
	if err != nil {
		return err
	}
	id := d.Plan.Identity
	fmt.Fprintf(s.Stderr, "bottle: %s runs\nbottle: hint:  bottle attach %s    (ctrl-p ctrl-q leaves it again)\nbottle: hint:  bottle stop %s\n", id, id, id)
	fmt.Fprintln(s.Stdout, id)
	return nil
}
