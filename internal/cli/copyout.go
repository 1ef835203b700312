package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/apply"
	"bottle.internal/internal/workspace/changes"
	"bottle.internal/internal/workspace/transfer"
)

// copyOutOptions say how to go about a copy-out.
type copyOutOptions struct {
	yes, dryRun, full        bool
	sensitive, skipConflicts bool
	format                   format
}

func copyOutCommand() command {
	return command{
		name: "copy-out", args: "IDENTITY [DIRECTORY]",
		summary: "show what the agent changed in its workspace, and apply it",
		help: `Nothing is written before the answer, and then all of it or nothing. Files that make a
program of this machine run something (editor settings, hooks, CI, instructions to agents,
new executables) are asked for separately; --yes leaves them out unless
--include-sensitive is given. What the host changed since the copy-in is a conflict.

  bottle copy-out demo-x7k2p
  bottle copy-out demo-x7k2p --dry-run --full
  bottle copy-out demo-x7k2p ./elsewhere --yes
  bottle copy-out --recover ./project`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			var options copyOutOptions
			flags.BoolVarP(&options.yes, "yes", "y", false, "do not ask")
			flags.BoolVar(&options.dryRun, "dry-run", false, "show the changes and stop")
			flags.BoolVar(&options.full, "full", false, "show all of a long diff")
			flags.BoolVar(&options.sensitive, "include-sensitive", false, "with --yes: apply also what would be asked for separately")
			flags.BoolVar(&options.skipConflicts, "skip-conflicts", false, "apply the rest where the host has changed a file meanwhile")
			recoverDir := flags.String("recover", "", "end a copy-out into this `directory` that was cut short")
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				if *recoverDir != "" {
					if err := s.none(); err != nil {
						return err
					}
					return s.recoverCopyOut(*recoverDir)
				}
				options.format = *format
				if len(s.args) == 0 || len(s.args) > 2 {
					return &usageError{text: "which bottle, and at most one directory?", hints: []string{"bottle copy-out IDENTITY", "bottle list"}}
				}
				dir := ""
				if len(s.args) == 2 {
					dir = s.args[1]
				}
				if !options.yes && !options.dryRun && !s.interactive() {
					return &usageError{text: "there is no terminal to ask on", hints: []string{s.again("--yes"), s.again("--dry-run")}}
				}
				return s.copyOut(ctx, s.args[0], dir, options)
			}
		},
	}
}

func (s *session) recoverCopyOut(dir string) error {
	outcome, err := s.app.RecoverCopyOut(dir)
	if err != nil {
		return err
	}
	if outcome == apply.Nothing {
		outcome = "nothing to do"
	}
	fmt.Fprintln(s.Stdout, string(outcome))
	return nil
}

func (s *session) copyOut(ctx context.Context, identity, dir string, options copyOutOptions) (err error) {
	c, err := s.app.CopyOut(ctx, identity, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if c.Ended != apply.Nothing {
		fmt.Fprintf(s.Stderr, "an earlier copy-out that was cut short was %s\n", c.Ended)
	}
	if err := s.showChanges(c, options); err != nil || options.dryRun {
		return err
	}
	if _, err := c.Set.Select(changes.Choice{Sensitive: true, SkipConflicts: options.skipConflicts}); err != nil {
		return &app.Problem{Err: err, Hints: []string{"bottle copy-out " + identity + " --skip-conflicts"}}
	}
	choice := changes.Choice{Sensitive: options.yes && options.sensitive, SkipConflicts: options.skipConflicts}
	if !options.yes {
		if choice.Sensitive, err = s.askChanges(ctx, c, choice); err != nil {
			return err
		}
	}
	selected, err := c.Set.Select(choice)
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, selected); err != nil {
		return err
	}
	text := fmt.Sprintf("%d applied to %s", len(selected), printable.SafeText(c.Dir))
	if left := len(c.Set.Changes) - len(selected); left > 0 {
		text += fmt.Sprintf(", %d left out", left)
	}
	fmt.Fprintln(s.Stderr, text)
	return nil
}

// copyOutReport is the answer for programs.
type copyOutReport struct {
	Identity string               `json:"identity"`
	Dir      string               `json:"dir"`
	Changes  []changes.Change     `json:"changes"`
	Same     int                  `json:"same"` // the host has them already
	Skipped  []workspace.Excluded `json:"skipped"`
}

func (s *session) showChanges(c *transfer.Staged, options copyOutOptions) error {
	if options.format == formatJSON {
		report := copyOutReport{Identity: c.Identity, Dir: c.Dir, Changes: c.Set.Changes, Same: len(c.Set.Same), Skipped: c.Set.Stage.Skipped}
		if report.Changes == nil {
			report.Changes = []changes.Change{}
		}
		if report.Skipped == nil {
			report.Skipped = []workspace.Excluded{}
		}
		return writeJSON(s.Stdout, report)
	}
	if len(c.Set.Changes) > 0 {
		c.Set.Diff(s.Stdout, options.full)
	}
	c.Set.Stat(s.Stdout, options.full)
	return nil
}

// askChanges asks once, and a second time for what runs something on this machine.
func (s *session) askChanges(ctx context.Context, c *transfer.Staged, choice changes.Choice) (sensitive bool, err error) {
	plain, err := c.Set.Select(choice)
	if err != nil {
		return false, err
	}
	choice.Sensitive = true
	all, err := c.Set.Select(choice)
	if err != nil || len(all) == 0 {
		return false, err
	}
	if len(plain) > 0 {
		yes, err := s.yes(ctx, fmt.Sprintf("Apply %d changes to %s?", len(plain), printable.SafeText(c.Dir)))
		if err != nil {
			return false, err
		}
		if !yes {
			return false, errors.New("not applied")
		}
	}
	if len(all) == len(plain) {
		return false, nil
	}
	for _, change := range all {
		if change.Sensitive != "" {
			fmt.Fprintf(s.Stderr, "  %s (%s)\n", change.Path.Show(), change.Sensitive)
		}
	}
	sensitive, err = s.yes(ctx, fmt.Sprintf("These %d can make programs of this machine run something. Apply them too?", len(all)-len(plain)))
	if err == nil && !sensitive && len(plain) == 0 {
		err = errors.New("not applied")
	}
	return sensitive, err
}

// yes asks a question whose answer is no unless it is yes.
func (s *session) yes(ctx context.Context, question string) (bool, error) {
	fmt.Fprintf(s.Stderr, "%s [y/N] ", question)
	answer, err := readLine(ctx, s)
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes"), err
}
