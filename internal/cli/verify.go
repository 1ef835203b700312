package cli

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"bottle.internal/internal/boundary"
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

It exits 1 if the boundary does not hold.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				identity, err := s.one("bottle")
				if err != nil {
					return err
				}
				receipt, err := s.app.Verify(ctx, identity)
				if err != nil {
					return err
				}
				if *format == formatJSON {
					err = writeJSON(s.Stdout, receipt)
				} else {
					_, err = fmt.Fprintf(s.Stdout, "boundary of %s (%s): %s\n%s", identity, receipt.VMTool, boundary.Count(receipt.Results), boundary.Table(receipt.Results))
				}
				if surprise := boundary.Surprise(receipt.Results); surprise != nil && err == nil {
					err = fmt.Errorf("the boundary of %s does not hold: probe %q", identity, surprise.Probe)
				}
				return err
			}
		},
	}
}
