package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"bottle.internal/internal/leftovers"
	"bottle.internal/internal/printable"
)

func cleanupCommand() command {
	return command{
		name:    "cleanup",
		summary: "remove what killed processes left behind",
		help: `It finds what belongs to this state directory and to no living process: VMs, containers,
networks, volumes, sockets and state. It prints that, asks once, and removes it. Bottles
that were kept for "bottle resume" stay, unless --stopped is given.

  bottle cleanup --dry-run
  bottle cleanup --yes --stopped`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			yes := flags.BoolP("yes", "y", false, "do not ask")
			dryRun := flags.Bool("dry-run", false, "print what would be removed and stop")
			stopped := flags.Bool("stopped", false, "kept bottles too: their disks are lost")
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				if err := s.none(); err != nil {
					return err
				}
				found, warnings, problems := s.app.FindLeftovers(ctx, *stopped)
				for _, warning := range warnings {
					fmt.Fprintln(s.Stderr, "bottle: warning:", printable.SafeText(warning.Error()))
				}
				if err := s.printLeftovers(found, *format); err != nil {
					return err
				}
				if *dryRun || len(found) == 0 {
					return errors.Join(problems...)
				}
				if err := s.confirm(ctx, "Remove all of it?", *yes); err != nil {
					return errors.Join(append(problems, err)...)
				}
				return errors.Join(append(problems, s.cleanup(ctx, found))...)
			}
		},
	}
}

func (s *session) printLeftovers(found []leftovers.Leftover, format format) error {
	if format == formatJSON {
		return writeJSON(s.Stdout, found)
	}
	if len(found) == 0 {
		fmt.Fprintln(s.Stderr, "nothing is left over")
	}
	for _, leftover := range found {
		fmt.Fprint(s.Stdout, leftover.Text())
	}
	return nil
}

// cleanup goes on past what fails: the next one may not.
func (s *session) cleanup(ctx context.Context, found []leftovers.Leftover) error {
	var problems []error
	for _, leftover := range found {
		done, err := s.app.Cleanup(ctx, leftover)
		switch {
		case err != nil:
			problems = append(problems, err)
		case done:
			fmt.Fprintln(s.Stderr, "removed", leftover.Identity)
		default:
			fmt.Fprintln(s.Stderr, "left alone", leftover.Identity+": somebody else has it by now")
		}
		if ctx.Err() != nil {
			return errors.Join(append(problems, context.Cause(ctx))...)
		}
	}
	return errors.Join(problems...)
}
