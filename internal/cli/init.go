package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/starter"
)

func initCommand() command {
	return command{
		name:    "init",
		summary: "write a first bottle.toml",
		help: `It says in comments what to fill in, and never replaces a file of yours without --force.
With --try, the agent's API and its repository are played by bottle itself: the real agent
program runs offline and without a credential.

  bottle init --template claude
  bottle init --template claude --try --file try.toml
  bottle init --template codex --print`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			var request app.InitRequest
			flags.StringVar(&request.Template, "template", "claude", "the `kind` of agent: "+strings.Join(starter.Templates(), ", "))
			flags.BoolVar(&request.Try, "try", false, "for a first look: local doubles instead of an API and a repository")
			flags.StringVar(&request.Path, "file", "", "where to write it (default: your own manifest)")
			show := flags.Bool("print", false, "print it instead")
			flags.BoolVar(&request.Force, "force", false, "replace a file that is there")
			return func(_ context.Context, s *session) error {
				if err := s.none(); err != nil {
					return err
				}
				text, err := starter.Manifest(request.Options)
				if err != nil { // it fails for an unknown template only
					return &usageError{text: err.Error()}
				}
				if *show {
					fmt.Fprint(s.Stdout, text)
					return nil
				}
				request.Again = s.again("--force")
				written, err := s.app.Init(request)
				if err != nil {
					return err
				}
				fmt.Fprintln(s.Stdout, written)
				s.sayNext(request.Options, written)
				return nil
			}
		},
	}
}

// sayNext prints what to type after init.
func (s *session) sayNext(o starter.Options, written string) {
	flag := ""
	if written != s.app.ManifestPath() {
		flag = " --manifest " + shellWord(written)
	}
	fmt.Fprintln(s.Stderr, "next:")
	for _, line := range append(starter.Exports(o), "bottle start "+o.Template+flag) {
		fmt.Fprintln(s.Stderr, "  "+line)
	}
}
