package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
)

func listCommand() command {
	return command{
		name:    "list",
		summary: "list the bottles on this machine",
		help:    "  bottle list\n  bottle list --format=json",
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
				columns := listColumns()
				fmt.Fprintln(table, line(columns, func(c column) string { return c.title }))
				for _, row := range rows {
					fmt.Fprintln(table, line(columns, func(c column) string { return c.text(row) }))
				}
				return errors.Join(table.Flush(), errors.Join(problems...))
			}
		},
	}
}

// column is one of the table's.
type column struct {
	title string
	text  func(app.Row) string
}

func listColumns() []column {
	return []column{
		{"IDENTITY", func(r app.Row) string { return r.Identity }},
		{"AGENT", func(r app.Row) string { return r.Agent }},
		{"STATE", stateText},
		{"AGE", func(r app.Row) string { return r.Age }},
		{"VM TOOL", func(r app.Row) string { return r.VMTool }},
		{"FIREWALL", func(r app.Row) string { return r.Firewall }},
		{"LAST DENIAL", func(r app.Row) string { return lastDenial(r.LastDenial, time.Now()) }},
	}
}

func line(columns []column, cell func(column) string) string {
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = cell(c)
	}
	return strings.Join(cells, "\t")
}

func stateText(r app.Row) string {
	text := r.State
	if r.Exit != nil {
		text = fmt.Sprintf("%s (exited %d)", r.State, *r.Exit)
	}
	if r.Alarm { // a fake credential was seen
		text += " ALARM"
	}
	return text
}

func stopCommand() command {
	return command{
		name: "stop", args: "IDENTITY...",
		summary: "stop bottles and remove everything of theirs",
		help: `A bottle whose process was killed leaves its VM and containers: stop removes them.

With --keep the machine is only stopped, for "bottle resume".

  bottle stop demo-x7k2p
  bottle stop --keep demo-x7k2p
  bottle stop --all`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			keep := flags.Bool("keep", false, "keep the machine's disk and the bottle's state")
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
					if err := s.app.Stop(ctx, identity, *keep); err != nil {
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
