package cli

import (
	"context"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
)

func sbomCommand() command {
	return command{
		name: "sbom", args: "[AGENT]",
		summary: "print what is inside an image or a program, as SPDX",
		help: `An SPDX 2.3 document in JSON: the Debian packages, npm packages, Go programs and Go
modules of an agent's image, of the bundle's, or the modules of a program. The same
image has the same document; SOURCE_DATE_EPOCH sets its time. docs/release.md says
where each part comes from and what is NOASSERTION.

  bottle sbom claude
  bottle sbom --bundle >bundle.spdx.json
  bottle sbom --binary /usr/bin/bottle`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			progressFlags(flags)
			var request app.SBOMRequest
			flags.BoolVar(&request.Bundle, "bundle", false, "of the bundle's image")
			flags.StringVar(&request.Binary, "binary", "", "of a Go program: the `file`")
			flags.StringVar(&request.Carries, "carries", "", "with --binary, of a release: the `directory` with the programs inside it")
			return func(ctx context.Context, s *session) error {
				if err := oneSubject(s, &request); err != nil {
					return err
				}
				text, err := s.app.SBOM(ctx, request)
				if err != nil {
					return err
				}
				_, err = s.Stdout.Write(text)
				return err
			}
		},
	}
}

// oneSubject wants an agent, --bundle or --binary, and only one of them.
func oneSubject(s *session, request *app.SBOMRequest) error {
	if request.Carries != "" && request.Binary == "" {
		return &usageError{text: "--carries goes with --binary"}
	}
	if !request.Bundle && request.Binary == "" {
		agent, err := s.one("agent (or --bundle, or --binary FILE)")
		request.Agent = agent
		return err
	}
	if len(s.args) > 0 || request.Bundle && request.Binary != "" {
		return &usageError{text: "one image or program at a time: an agent, --bundle or --binary FILE"}
	}
	return nil
}
