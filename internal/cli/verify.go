package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/boundary"
	"bottle.internal/internal/bytesize"
	"bottle.internal/internal/digest"
	"bottle.internal/internal/printable"
)

func verifyCommand() command {
	return command{
		name: "verify", args: "IDENTITY",
		summary: "try again whether a bottle's boundary holds",
		help: `It opens live targets on this host, has the guest try every way to them, and compares
what the guest says with what came. A refusal counts only where the host has just
reached the same target itself; the others are shown as uncontrolled.

  bottle verify demo-x7k2p
  bottle verify demo-x7k2p --format=json

With --leaks it searches the guest's files, disk and memory, and what bottle keeps on this
host, for the real credentials of the bottle: raw, in base64, in hex and as in URLs.

  bottle verify demo-x7k2p --leaks

It exits 1 if the boundary does not hold, or if a credential was found.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			leaks := flags.Bool("leaks", false, "search for the bottle's credentials where none may be")
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				identity, err := s.one("bottle")
				if err != nil {
					return err
				}
				if *leaks {
					return s.leaks(ctx, identity, *format)
				}
				receipt, err := s.app.Verify(ctx, identity)
				if err != nil {
					return err
				}
				if *format == formatJSON {
					err = writeJSON(s.Stdout, receipt)
				} else {
					_, err = fmt.Fprintf(s.Stdout, "boundary of %s (%s): %s\n%s%s", identity, receipt.VMTool, boundary.Count(receipt.Results), boundary.Table(receipt.Results), toolLine(receipt))
				}
				if surprise := boundary.Surprise(receipt.Results); surprise != nil && err == nil {
					err = fmt.Errorf("the boundary of %s does not hold: probe %q", identity, surprise.Probe)
				}
				return err
			}
		},
	}
}

func (s *session) leaks(ctx context.Context, identity string, format format) error {
	leaks, err := s.app.Leaks(ctx, identity)
	if err != nil {
		return err
	}
	if format == formatJSON {
		err = writeJSON(s.Stdout, leaks)
	} else {
		fmt.Fprintf(s.Stdout, "%d credentials of %s were looked for\n", leaks.Secrets, identity)
		for _, skipped := range leaks.Skipped {
			fmt.Fprintf(s.Stdout, "  not looked for: %s\n", printable.SafeText(skipped))
		}
		for _, result := range leaks.Results {
			fmt.Fprintf(s.Stdout, "  %s: %s in %s\n", printable.SafeText(result.Place), result.Verdict(), bytesize.Of(result.Bytes))
		}
	}
	for _, result := range leaks.Results {
		if result.Leak != "" && err == nil {
			err = fmt.Errorf("%s is in %s", result.Leak, result.Place)
		}
	}
	return err
}

// toolLine says what the machine runs on.
func toolLine(receipt app.Receipt) string {
	line := "tools: sha256 of " + digest.Line(receipt.Tools)
	if len(receipt.ChangedTools) > 0 {
		line += "; not what it was started with: " + strings.Join(receipt.ChangedTools, ", ")
	}
	return printable.SafeText(line) + "\n"
}
