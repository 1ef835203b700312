package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/lockfile"
)

func updateCommand() command {
	return command{
		name: "update", args: "[" + strings.Join(app.UpdateParts(), "|") + "...]",
		summary: "look for newer versions, and write them into bottle.lock",
		help: `bottle.lock pins what the images are made of. This asks the Debian mirror or the image
registry, and the npm registry, for what is newest, shows the difference, and writes it.
The parts are ` + strings.Join(app.UpdateParts(), ", ") + `; without one it is all of them. pipelock is
pinned where PIPELOCK_BIN and PIPELOCK_SHA256 name it; the tools are only recorded. Tools of
agents are held to the lock always, the base where BOTTLE_LOCKED=1 is set.

  bottle update
  bottle update npm
  bottle update --dry-run`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			dry := flags.Bool("dry-run", false, "only say what would change")
			progressFlags(flags)
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				for _, part := range s.args {
					if !slices.Contains(app.UpdateParts(), part) {
						return &usageError{text: fmt.Sprintf("no part %q: there are %s", part, strings.Join(app.UpdateParts(), ", "))}
					}
				}
				done, err := s.app.Update(ctx, app.UpdateRequest{Parts: s.args, DryRun: *dry})
				if err != nil {
					return err
				}
				if *format == formatJSON {
					return writeJSON(s.Stdout, done)
				}
				printUpdate(s, done)
				return nil
			}
		},
	}
}

func printUpdate(s *session, done app.Update) {
	fmt.Fprint(s.Stdout, lockfile.Text(done.Changes))
	switch {
	case len(done.Changes) == 0:
		fmt.Fprintf(s.Stderr, "%s is up to date\n", done.Path)
	case done.Written:
		fmt.Fprintf(s.Stderr, "%s is written; to take it back: git checkout %s\n", done.Path, lockfile.Name)
	default:
		fmt.Fprintf(s.Stderr, "%s is as it was\n", done.Path)
	}
}
