package cli

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
)

func listCommand() command {
	return command{
		name:    "list",
		summary: "list the bottles on this machine",
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				if err := s.none(); err != nil {
					return err
				}
				rows, problems := s.app.List(ctx)
				if *format == formatJSON {
					if err := writeJSON(s.Stdout, rows); err != nil {
						return err
					}
					return errors.Join(problems...)
				}
				if len(rows) == 0 {
					fmt.Fprintln(s.Stderr, "no bottles")
					return errors.Join(problems...)
				}
				table := tabwriter.NewWriter(s.Stdout, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "IDENTITY\tAGENT\tSTATE\tAGE\tVM TOOL\tFIREWALL")
				for _, row := range rows {
					fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", row.Identity, row.Agent, stateShown(row), row.Age, row.VMTool, row.Firewall)
				}
				return errors.Join(table.Flush(), errors.Join(problems...))
			}
		},
	}
}

// stateShown says beside the state that a fake credential was seen.
func stateShown(row app.Row) string {
	if row.Alarm {
		return row.State + " ALARM"
	}
	return row.State
}

func stopCommand() command {
	return command{
		name: "stop", args: "IDENTITY...",
		summary: "stop bottles and remove everything of theirs",
		help: `A bottle whose process was killed leaves its VM and containers: stop removes them.

  bottle stop demo-x7k2p
  bottle stop --all`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			all := flags.Bool("all", false, "stop every bottle")
			return func(ctx context.Context, s *session) error {
				identities := s.args
				switch {
				case *all && len(s.args) > 0:
					return &usageError{text: "--all and names of bottles exclude each other"}
				case *all:
					rows, problems := s.app.List(ctx)
					for _, problem := range problems {
						fmt.Fprintln(s.Stderr, "bottle: warning:", problem)
					}
					for _, row := range rows {
						identities = append(identities, row.Identity)
					}
				case len(s.args) == 0:
					return &usageError{text: "which bottle?", hints: []string{"bottle list", "bottle stop --all"}}
				}
				var problems []error
				for _, identity := range identities {
					if err := s.app.Stop(ctx, identity); err != nil {
						problems = append(problems, err)
						continue
					}
					fmt.Fprintln(s.Stdout, identity)
				}
				return errors.Join(problems...)
			}
		},
	}
}
