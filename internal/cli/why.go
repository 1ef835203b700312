package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/why"
)

func whyCommand() command {
	return command{
		name: "why", args: "METHOD URL | push REMOTE BRANCH | fetch REMOTE",
		summary: "say what would allow or refuse a request, and by which line",
		help: `The answer is that of the evaluators which the daemons run, for the URL exactly as it is
written; nothing is sent. A remote is its name or its ssh address.

  bottle why GET https://api.example.com/v1/models --agent claude
  bottle why POST https://api.example.com/v1/files --header X-Request-Id --bottle claude-x7k2p
  bottle why GET wss://api.example.com/live --agent claude
  bottle why push app bottle/topic --agent claude

It exits with 0 if the request is allowed, and with 1 if it is refused.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			var request app.WhyRequest
			flags.StringVar(&request.Agent, "agent", "", "the rules of this `agent` by today's manifest; may be left out if there is only one")
			flags.StringVar(&request.Identity, "bottle", "", "the rules of the bottle with this `identity`, approvals included")
			headers := flags.StringArray("header", nil, "a `name`: what becomes of that header; may be repeated")
			format := formatFlag(flags)
			return func(_ context.Context, s *session) error {
				if request.Agent != "" && request.Identity != "" {
					return &usageError{text: "--agent or --bottle, not both"}
				}
				return s.why(request, *headers, *format)
			}
		},
	}
}

func (s *session) why(request app.WhyRequest, headers []string, format format) error {
	if err := s.checkQuestion(headers); err != nil {
		return err
	}
	facts, err := s.app.WhyFacts(request)
	if err != nil {
		return err
	}
	answer, err := s.answer(facts, headers)
	if err != nil {
		return err
	}
	answer.Identity = request.Identity
	if format == formatJSON {
		err = writeSafeJSON(s.Stdout, answer)
	} else {
		_, err = fmt.Fprint(s.Stdout, answer.Text())
	}
	if err == nil && !answer.Allowed {
		return exitWith(exitFailure) // the answer has been given
	}
	return err
}

// isGit reports a question about a repository.
func (s *session) isGit() bool {
	return s.args[0] == "push" || s.args[0] == "fetch" || len(s.args) == 2 && why.IsGit(s.args[1])
}

func (s *session) checkQuestion(headers []string) error {
	const usage = "why what? METHOD URL, push REMOTE BRANCH or fetch REMOTE"
	switch {
	case len(s.args) < 2:
		return &usageError{text: usage}
	case s.isGit():
		if want := map[bool]int{true: 3, false: 2}[s.args[0] == "push"]; len(s.args) != want {
			return &usageError{text: usage}
		}
		if len(headers) > 0 {
			return &usageError{text: "--header belongs to a URL"}
		}
	case len(s.args) != 2:
		return &usageError{text: usage}
	case !why.IsURL(s.args[1]):
		return &usageError{text: fmt.Sprintf("%q is no URL: write it whole, such as https://api.example.com/v1", printable.SafeText(s.args[1]))}
	case s.args[0] == "" || strings.ContainsAny(s.args[0], " \t\r\n:/"):
		return &usageError{text: fmt.Sprintf("%q is no method, such as GET", printable.SafeText(s.args[0]))}
	}
	return nil
}

func (s *session) answer(facts why.Facts, headers []string) (why.Answer, error) {
	if !s.isGit() {
		return why.Ask(facts, why.Request{Method: s.args[0], URL: s.args[1], Headers: headers})
	}
	branch := ""
	if s.args[0] == "push" {
		branch = s.args[2]
	}
	return why.AskGit(facts, s.args[1], branch), nil
}
