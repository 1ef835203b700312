package cli

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
)

func imagesCommand() command {
	return command{
		name: "images", args: "[AGENT...]",
		summary: "build and pack the images that agents need",
		help: `Without an agent it builds what the demo needs. What is already there is not built
again; --explain says what the cache key was made of.

  bottle images
  bottle images claude --explain
  bottle images --quiet

With --verify they are built once more, from a copy of the checkout and into an empty cache,
and compared byte for byte with what is there; it exits 1 if anything differs.

  bottle images --verify
  bottle images --verify --keep-base --keep-go-cache`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			progressFlags(flags)
			explain := flags.Bool("explain", false, "say what the cache keys are made of and what changed")
			verify := verifyFlags(flags)
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				if *verify.on {
					return s.verifyBuild(ctx, verify, *format)
				}
				reports, err := s.app.Images(ctx, s.args)
				if err != nil {
					return err
				}
				if *format == formatJSON {
					return writeJSON(s.Stdout, reports)
				}
				for _, report := range reports {
					printImage(s, report, *explain)
				}
				return nil
			}
		},
	}
}

func printImage(s *session, report app.ImageReport, explain bool) {
	state := "built"
	if report.Cached {
		state = "unchanged"
	}
	fmt.Fprintf(s.Stdout, "%s\t%s\t%s\n", report.Name, state, report.Digest)
	if !explain {
		return
	}
	for _, line := range report.Explain {
		fmt.Fprintln(s.Stdout, "  "+line)
	}
}

func baseCommand() command {
	return command{
		name:    "base",
		summary: "choose the base of the agent image again, and build it",
		help: `The base is chosen once and recorded; this looks again: at the registry that the
recipe names, else at Debian's packages. BOTTLE_BASE=debian skips the registry.

  bottle base`,
		setup: func(*pflag.FlagSet) func(context.Context, *session) error {
			return func(ctx context.Context, s *session) error {
				if err := s.none(); err != nil {
					return err
				}
				base, err := s.app.Base(ctx)
				if err != nil {
					return err
				}
				fmt.Fprintln(s.Stdout, base)
				return nil
			}
		},
	}
}

func cleanCommand() command {
	return command{
		name:    "clean",
		summary: "remove the caches (images, packs, downloads)",
		help:    "  bottle clean\n  bottle clean --all",
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			all := flags.Bool("all", false, "the downloaded packages and the base too")
			return func(_ context.Context, s *session) error {
				if err := s.none(); err != nil {
					return err
				}
				removed, err := s.app.Clean(*all)
				for _, path := range removed {
					fmt.Fprintln(s.Stdout, path)
				}
				return err
			}
		},
	}
}
