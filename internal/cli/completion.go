package cli

import (
	"context"
	_ "embed"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"bottle.internal/internal/printable"
)

// The scripts ask `bottle __complete SHELL WORD...`, so that they know nothing themselves
// and never grow old.
var (
	//go:embed completion/bottle.bash
	bashCompletion string
	//go:embed completion/bottle.zsh
	zshCompletion string
	//go:embed completion/bottle.fish
	fishCompletion string
)

func completionCommand() command {
	return command{
		name: "completion", args: "bash|zsh|fish",
		summary: "print a script that completes command lines in a shell",
		help: `It completes commands, flags, agents, bottles and proposals.

  bottle completion bash >~/.local/share/bash-completion/completions/bottle
  bottle completion zsh >~/.zfunc/_bottle
  bottle completion fish >~/.config/fish/completions/bottle.fish`,
		setup: func(*pflag.FlagSet) func(context.Context, *session) error {
			return func(_ context.Context, s *session) error {
				shell, err := s.one("shell")
				if err != nil {
					return err
				}
				script, known := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[shell]
				if !known {
					return &usageError{text: fmt.Sprintf("there is no completion for %q: bash, zsh or fish", printable.SafeLine(shell))}
				}
				_, err = io.WriteString(s.Stdout, script)
				return err
			}
		},
	}
}
