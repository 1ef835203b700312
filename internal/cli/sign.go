package cli

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"
)

func signCommand() command {
	return command{
		name: "sign", args: "[AGENT...]",
		summary: "sign the images, so that nothing else is started",
		help: `It builds and packs what the agents need, as bottle images does, and signs that and the
bundle's image. Where ~/.config/bottle/image-keys.pub names keys, a start or a resume whose
images no such key has signed is refused. Keys are those of minisign.

  bottle sign --new-key ~/.config/bottle/image.key
  cat ~/.config/bottle/image.key.pub >> ~/.config/bottle/image-keys.pub
  bottle sign --key ~/.config/bottle/image.key claude`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			key := flags.String("key", "", "the `file` of the secret key to sign with")
			newKey := flags.String("new-key", "", "make a pair of keys in this `file` and one beside it, and sign nothing")
			open := flags.Bool("no-passphrase", false, "leave the new key without a passphrase")
			progressFlags(flags)
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				switch {
				case *newKey != "":
					return s.newKey(ctx, *newKey, *open)
				case *key == "":
					return &usageError{text: "which key? say --key or --new-key"}
				}
				signed, err := s.app.Sign(ctx, *key, s.args)
				if err != nil {
					return err
				}
				if *format == formatJSON {
					return writeJSON(s.Stdout, signed)
				}
				for _, one := range signed {
					fmt.Fprintf(s.Stdout, "%s\tsigned by %s\t%s\n", one.Name, one.Key, one.Digest)
				}
				return nil
			}
		},
	}
}

func (s *session) newKey(ctx context.Context, path string, open bool) error {
	if err := s.none(); err != nil {
		return err
	}
	public, trusted, err := s.app.NewKey(ctx, path, open)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.Stdout, public)
	fmt.Fprintf(s.Stderr, "to start only what it has signed: cat %s >> %s\n", shellWord(public), shellWord(trusted))
	return nil
}
