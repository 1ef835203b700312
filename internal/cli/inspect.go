package cli

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"bottle.internal/internal/printable"
)

func inspectCommand() command {
	return command{
		name: "inspect", args: "IDENTITY",
		summary: "show one bottle: its plan, its state, and what exists of it",
		help:    "  bottle inspect demo-x7k2p\n  bottle inspect demo-x7k2p --format=json",
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				identity, err := s.one("bottle")
				if err != nil {
					return err
				}
				inspection, err := s.app.Inspect(ctx, identity)
				if err != nil {
					return err
				}
				if *format == formatJSON {
					return writeJSON(s.Stdout, inspection)
				}
				fmt.Fprint(s.Stdout, printable.SafeText(inspection.Text()))
				return nil
			}
		},
	}
}
