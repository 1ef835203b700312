package cli

import (
	"context"

	"github.com/spf13/pflag"

	"bottle.internal/internal/manifest/schema"
)

func schemaCommand() command {
	return command{
		name:    "schema",
		summary: "print the JSON Schema of bottle.toml, for editors",
		help: `An editor that knows it completes keys and marks mistakes while you write. Keep it beside
your bottle.toml, whose first line is then: #:schema ./bottle.schema.json

  bottle schema >bottle.schema.json`,
		setup: func(*pflag.FlagSet) func(context.Context, *session) error {
			return func(_ context.Context, s *session) error {
				if err := s.none(); err != nil {
					return err
				}
				text, err := schema.JSON()
				if err != nil {
					return err
				}
				_, err = s.Stdout.Write(text)
				return err
			}
		},
	}
}
