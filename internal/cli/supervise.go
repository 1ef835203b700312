package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/ask"
	"bottle.internal/internal/cli/board"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/proposal"
)

// superviseFlags are the flags of all its verbs.
type superviseFlags struct {
	all            bool
	keep           bool
	withCredential string
	note           string
	format         *format
}

// superviseVerbs are the verbs, and the flags that each takes.
func superviseVerbs() map[string][]string {
	return map[string][]string{
		"list":    {"all", "format"},
		"show":    {"format"},
		"approve": {"keep", "with-credential", "note", "format"},
		"reject":  {"note", "format"},
		"watch":   {"format"},
	}
}

func superviseCommand() command {
	return command{
		name: "supervise", args: "list|show|approve|reject|watch [ARGUMENT]",
		summary: "see and answer what agents ask for",
		help: `An agent in a bottle with supervise = true can ask for a host, for a push and for
anything else. Nothing is granted before an answer; an approved host is open at once,
for this run only unless --keep.

  bottle supervise list                     what waits for an answer (--all: everything)
  bottle supervise list demo-x7k2p
  bottle supervise show 3fa8c2              all of one proposal; its first digits do
  bottle supervise approve 3fa8c2 --keep
  bottle supervise approve 3fa8c2 --with-credential api.example.com
  bottle supervise reject 3fa8c2 --note 'use the mirror'
  bottle supervise watch                    live: keys on a terminal, lines elsewhere

A host with a credential is widened only when it is typed again: the agent then uses
that credential in a way in which it could not before.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			var f superviseFlags
			flags.BoolVar(&f.all, "all", false, "list: settled proposals too")
			flags.BoolVar(&f.keep, "keep", false, "approve: after a resume too")
			flags.StringVar(&f.withCredential, "with-credential", "", "approve: the `host` whose credential may be used")
			flags.StringVar(&f.note, "note", "", "approve, reject: a `text` for the agent")
			f.format = formatFlag(flags)
			return func(ctx context.Context, s *session) error { return s.supervise(ctx, flags, f) }
		},
	}
}

func (s *session) supervise(ctx context.Context, flags *pflag.FlagSet, f superviseFlags) error {
	const which = "list, show, approve, reject or watch"
	if len(s.args) == 0 {
		return &usageError{text: "supervise what? " + which}
	}
	verb := s.args[0]
	takes, known := superviseVerbs()[verb]
	if !known {
		return &usageError{text: fmt.Sprintf("there is no supervise %q: %s", printable.SafeText(verb), which)}
	}
	var mistake error
	flags.Visit(func(flag *pflag.Flag) {
		if flag.Name != "manifest" && !slices.Contains(takes, flag.Name) {
			mistake = &usageError{text: fmt.Sprintf("supervise %s takes no --%s", verb, flag.Name)}
		}
	})
	if mistake != nil {
		return mistake
	}
	s.args = s.args[1:]
	switch verb {
	case "list":
		return s.superviseList(ctx, f)
	case "show":
		return s.superviseShow(ctx, f)
	case "watch":
		return s.superviseWatch(ctx, f)
	}
	return s.superviseDecide(ctx, verb, f)
}

// bottleOrAll is the optional argument of list and watch.
func (s *session) bottleOrAll() (string, error) {
	if len(s.args) == 0 {
		return "", nil
	}
	return s.one("bottle")
}

func (s *session) superviseList(ctx context.Context, f superviseFlags) error {
	identity, err := s.bottleOrAll()
	if err != nil {
		return err
	}
	rows, problems := s.app.Proposals(ctx, identity)
	settled := len(rows)
	if !f.all {
		rows = slices.DeleteFunc(rows, func(p app.Proposal) bool { return p.Status != ask.Pending })
	}
	settled -= len(rows)
	if *f.format == formatJSON {
		return errors.Join(append(problems, writeSafeJSON(s.Stdout, rows))...)
	}
	if len(rows) == 0 {
		text := "nothing waits for an answer"
		if settled > 0 {
			text += fmt.Sprintf(" (%d settled: --all)", settled)
		}
		fmt.Fprintln(s.Stderr, text)
		return errors.Join(problems...)
	}
	return errors.Join(append(problems, board.Table(s.Stdout, rows))...)
}

func (s *session) superviseShow(ctx context.Context, f superviseFlags) error {
	id, err := s.one("proposal")
	if err != nil {
		return err
	}
	p, err := s.app.ShowProposal(ctx, id)
	if err != nil {
		return err
	}
	if *f.format == formatJSON {
		return writeSafeJSON(s.Stdout, p)
	}
	fmt.Fprintln(s.Stdout, strings.Join(board.Details(p), "\n"))
	return nil
}

// superviseWatch follows the queues until it is interrupted, which is how it ends.
func (s *session) superviseWatch(ctx context.Context, f superviseFlags) error {
	identity, err := s.bottleOrAll()
	if err != nil {
		return err
	}
	if identity != "" {
		if _, problems := s.app.Proposals(ctx, identity); len(problems) > 0 {
			return errors.Join(problems...)
		}
	}
	watch := board.Watch{App: s.app, Identity: identity, Out: s.Stdout}
	if *f.format == formatText && s.interactive() {
		return watch.Screen(ctx, s.Stdin)
	}
	return watch.Lines(ctx, *f.format == formatJSON, func(problem string) {
		fmt.Fprintln(s.Stderr, "bottle: warning:", printable.SafeText(problem))
	})
}

func (s *session) superviseDecide(ctx context.Context, verb string, f superviseFlags) error {
	id, err := s.one("proposal")
	if err != nil {
		return err
	}
	answer := proposal.Answer{Verdict: proposal.Reject, Note: f.note}
	if verb == "approve" {
		answer.Verdict, answer.Keep, answer.WithCredential = proposal.Approve, f.keep, f.withCredential
	}
	p, err := s.app.Decide(ctx, id, answer)
	if err != nil {
		return err
	}
	if *f.format == formatJSON {
		err = writeSafeJSON(s.Stdout, p)
	} else {
		fmt.Fprintln(s.Stdout, board.Result(p))
	}
	if err == nil && p.Outcome != nil && p.Outcome.Status == ask.Failed {
		err = errors.New(p.Outcome.Problem)
	}
	return err
}
