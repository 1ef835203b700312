package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
)

func setupCommand() command {
	return command{
		name:    "setup",
		summary: "check this machine and install what is missing, where that is possible",
		help: `On Debian and Ubuntu, as root or with sudo that asks nothing, missing packages are
installed. Elsewhere the exact commands are printed, and the exit code is 1.

  bottle setup`,
		setup: func(*pflag.FlagSet) func(context.Context, *session) error {
			return func(ctx context.Context, s *session) error {
				if err := s.none(); err != nil {
					return err
				}
				return s.app.Setup(ctx)
			}
		},
	}
}

func doctorCommand() command {
	return command{
		name:    "doctor",
		summary: "report what this machine has, what is missing, and the fix",
		help:    "  bottle doctor\n  bottle doctor --format=json",
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				if err := s.none(); err != nil {
					return err
				}
				report := s.app.Doctor(ctx)
				if *format == formatJSON {
					if err := writeJSON(s.Stdout, report.Items); err != nil {
						return err
					}
				} else {
					fmt.Fprint(s.Stdout, report.Text())
				}
				if !report.OK() {
					return errors.New("this machine is not ready")
				}
				return nil
			}
		},
	}
}

func versionCommand() command {
	return command{
		name:    "version",
		summary: "print the version of bottle and of the VM tool",
		help:    "  bottle version\n  bottle version --format=json",
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				if err := s.none(); err != nil {
					return err
				}
				version := s.app.Version(ctx)
				if *format == formatJSON {
					return writeJSON(s.Stdout, version)
				}
				fmt.Fprintf(s.Stdout, "bottle %s\n%s\n%s\n", version.Bottle, buildLine(version.Build), version.VMTool)
				return nil
			}
		},
	}
}

// buildLine says what the program was built from, as far as it knows.
func buildLine(build app.Build) string {
	line := build.Go + " " + build.Platform
	if build.Commit == "" {
		return line
	}
	changed := ""
	if build.Modified {
		changed = " and changes"
	}
	return fmt.Sprintf("commit %s%s of %s, %s", build.Commit, changed, build.Date, line)
}
