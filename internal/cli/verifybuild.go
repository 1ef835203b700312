package cli

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/verifybuild"
)

// verifyBuild are the flags of images that have everything built again.
type verifyBuild struct{ on, keepBase, keepGoCache *bool }

func verifyFlags(flags *pflag.FlagSet) verifyBuild {
	return verifyBuild{
		on:          flags.Bool("verify", false, "build everything again, and compare"),
		keepBase:    flags.Bool("keep-base", false, "with --verify: not the base, which takes a minute or two"),
		keepGoCache: flags.Bool("keep-go-cache", false, "with --verify: link our programs again, and compile only what changed"),
	}
}

func (s *session) verifyBuild(ctx context.Context, flags verifyBuild, format format) error {
	report, err := s.app.VerifyBuild(ctx, app.VerifyBuildRequest{Agents: s.args, KeepBase: *flags.keepBase, KeepGoCache: *flags.keepGoCache})
	if err != nil {
		return err
	}
	if format == formatJSON {
		err = writeJSON(s.Stdout, report)
	} else {
		fmt.Fprint(s.Stdout, verifybuild.Table(report.Rows))
		for _, note := range report.Notes {
			fmt.Fprintln(s.Stderr, note)
		}
	}
	if row, differs := verifybuild.First(report.Rows); differs && err == nil {
		err = fmt.Errorf("%s is not the same when it is built again: %s", row.What, row.First)
	}
	return err
}
