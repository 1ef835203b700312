package cli

import (
	"cmp"
	"context"

	"github.com/spf13/pflag"

	"bottle.internal/internal/guestexec"
)

func execCommand() command {
	return command{
		name: "exec", args: "IDENTITY -- COMMAND [ARGUMENT...]",
		summary: "run a command in a running bottle",
		help: `The command runs as the agent's user; --root runs it as root of the guest.
Its exit code is passed on.

  bottle exec demo-x7k2p -- git status
  bottle exec --root demo-x7k2p -- id`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			root := flags.Bool("root", false, "run as root of the guest")
			tty := flags.BoolP("tty", "t", false, "give the command a terminal")
			raw := rawFlag(flags)
			return func(ctx context.Context, s *session) error {
				s.raw = *raw
				if len(s.args) < 2 {
					return &usageError{text: "which bottle, and which command?", hints: []string{"bottle exec IDENTITY -- COMMAND", "bottle list"}}
				}
				command := s.args[1:]
				if command[0] == "--" {
					command = command[1:]
				}
				if len(command) == 0 {
					return &usageError{text: "which command?", hints: []string{"bottle exec " + s.args[0] + " -- COMMAND"}}
				}
				if *tty && !s.interactive() {
					return &usageError{text: "there is no terminal here to pass on: leave out --tty"}
				}
				return s.exec(ctx, guestexec.Command{Argv: command, Root: *root}, *tty)
			}
		},
	}
}

func shellCommand() command {
	return command{
		name: "shell", args: "IDENTITY",
		summary: "open a shell in a running bottle",
		help:    "  bottle shell demo-x7k2p\n  bottle shell demo-x7k2p --root",
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			root := flags.Bool("root", false, "open it as root of the guest")
			raw := rawFlag(flags)
			return func(ctx context.Context, s *session) error {
				s.raw = *raw
				if _, err := s.one("bottle"); err != nil {
					return err
				}
				return s.exec(ctx, guestexec.Command{Argv: []string{"/bin/bash"}, Root: *root}, s.interactive())
			}
		},
	}
}

func (s *session) exec(ctx context.Context, command guestexec.Command, tty bool) error {
	identity := s.args[0]
	run := func(ctx context.Context, stdio guestexec.Stdio) (int, error) {
		return s.app.Exec(ctx, identity, command, stdio)
	}
	if !tty {
		stdout, stderr, reset := s.screen()
		defer reset()
		stdio := guestexec.Stdio{Stdout: stdout, Stderr: stderr}
		if s.Stdin != nil {
			stdio.Stdin = s.Stdin
		}
		code, err := run(ctx, stdio)
		return cmp.Or(err, exitWith(code))
	}
	code, err := s.attached(ctx, run)
	return cmp.Or(err, exitWith(code))
}
