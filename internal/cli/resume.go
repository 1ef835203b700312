package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/printable"
)

func resumeCommand() command {
	return command{
		name: "resume", args: "IDENTITY",
		summary: "run the agent again in a bottle that was kept",
		help: `The bottle is planned anew from today's manifest, shown, and asked for. Its machine is
the old one with all that is on its disk; certificates, keys and the files that bottle
puts there are new. It works for a stopped bottle, and for one whose process died.
A machine that cannot go on is made anew with --fresh: its disk is lost.

  bottle resume demo-x7k2p
  bottle resume --fresh demo-x7k2p`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			var request app.ResumeRequest
			flags.BoolVar(&request.Fresh, "fresh", false, "make the machine anew, from today's image")
			flags.BoolVar(&request.TrustCwd, "trust-cwd", false, "allow agents from ./bottle.toml without asking")
			yes := flags.BoolP("yes", "y", false, "do not ask")
			raw := rawFlag(flags)
			detached := flags.BoolP("detach", "d", false, "return when the agent runs; its terminal: bottle attach")
			return func(ctx context.Context, s *session) error {
				s.raw = *raw
				identity, err := s.one("bottle")
				if err != nil {
					return err
				}
				request.Identity, request.Asks = identity, !*yes && s.interactive()
				resumption, err := s.app.PlanResume(ctx, request)
				if err != nil {
					return err
				}
				for _, note := range resumption.Notes {
					fmt.Fprintln(s.Stderr, "resume:", printable.SafeText(note))
				}
				if err := s.preflight(ctx, resumption.Plan, *yes); err != nil {
					return err
				}
				if *detached {
					return s.detach(ctx, app.Detached{Plan: resumption.Plan, Resume: true, Fresh: resumption.Fresh})
				}
				bottle, err := s.app.Resume(ctx, resumption)
				if err != nil {
					return err
				}
				return s.runAndClose(ctx, bottle, app.Ending{Rule: app.KeepUnfinished, Finish: s.finish(resumption.Plan, copyOutOptions{yes: *yes, format: formatText}), Holds: resumption.Plan.Workspace != nil})
			}
		},
	}
}

// runAndClose runs the agent on this session's streams, and tells what became of it.
func (s *session) runAndClose(ctx context.Context, bottle *launch.Bottle, ending app.Ending) error {
	end, err := s.app.RunAndClose(ctx, bottle, s.attached, ending)
	fmt.Fprint(s.Stderr, end.Receipt)
	if end.Exit != nil {
		err = errors.Join(exitWith(*end.Exit), err)
	}
	if end.Kept {
		return &keptError{identity: bottle.Identity(), err: err}
	}
	return err
}

// keptError says, after everything else, that a bottle can be resumed.
type keptError struct {
	identity string
	err      error // how it ended; nil: well
}

func (e *keptError) Error() string {
	if e.err == nil {
		return e.identity + " is kept"
	}
	return e.err.Error()
}

func (e *keptError) Unwrap() error { return e.err }

// HintLines says what to type.
func (e *keptError) HintLines() []string { return []string{"bottle resume " + e.identity} }
