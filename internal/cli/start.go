package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/plan"
)

func startCommand() command {
	return command{
		name: "start", args: "AGENT",
		summary: "boot a bottle and run the agent in it",
		help: `The preflight says what the agent will be able to reach; then it asks. Nothing is
built or started before the answer. Without a terminal give --yes.

  bottle start demo
  bottle start demo --dry-run --format=json
  bottle start demo --yes </dev/null
  bottle start claude --prompt-mode=batch

In batch mode the agent works on its prompt and ends; interactive begins a session with it.

It exits with the agent's exit code.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			var request app.PlanRequest
			yes := flags.BoolP("yes", "y", false, "do not ask")
			dryRun := flags.Bool("dry-run", false, "print the preflight (or the plan, as JSON) and stop")
			flags.BoolVar(&request.TrustCwd, "trust-cwd", false, "allow agents from ./bottle.toml without asking")
			mode := promptModeFlag(flags)
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				agent, err := s.agent()
				if err != nil {
					return err
				}
				if request.Prompt, err = promptMode(*mode); err != nil {
					return err
				}
				request.Agent, request.Terminal = agent, s.interactive()
				request.Asks = !*yes && s.interactive()
				p, err := s.app.Plan(ctx, request)
				if err != nil {
					return err
				}
				if *dryRun {
					return s.printPlan(p, *format)
				}
				if err := s.preflight(ctx, p, *yes); err != nil {
					return err
				}
				return s.start(ctx, p)
			}
		},
	}
}

// agent is the only argument; none at all is answered with the agents that there are.
func (s *session) agent() (string, error) {
	if len(s.args) == 0 {
		return "", nil
	}
	return s.one("agent")
}

// preflight shows what is about to happen and asks, before anything is built.
func (s *session) preflight(ctx context.Context, p plan.Plan, yes bool) error {
	fmt.Fprintln(s.Stderr, strings.TrimRight(p.Preflight(), "\n"))
	if err := app.Supported(p); err != nil {
		return err
	}
	if yes {
		return nil
	}
	if !s.interactive() {
		return &usageError{
			text:  "there is no terminal to ask on",
			hints: []string{s.again("--yes")},
		}
	}
	fmt.Fprintf(s.Stderr, "Start %s? [y/N] ", p.Identity)
	answer, err := readLine(ctx, s)
	if err != nil {
		return err
	}
	if !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return errors.New("not started")
	}
	return nil
}

// readLine reads one line from the terminal.
func readLine(ctx context.Context, s *session) (string, error) {
	line, err := untilDone(ctx, func() (string, error) { return bufio.NewReader(s.Stdin).ReadString('\n') })
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(s.Stderr)
		return "", context.Cause(ctx)
	case err != nil && line == "":
		return "", errors.New("no answer: not started")
	}
	return strings.TrimSpace(line), nil
}

func (s *session) start(ctx context.Context, p plan.Plan) error {
	bottle, err := s.app.Start(ctx, p)
	if err != nil {
		return err
	}
	code, runErr := s.attached(ctx, func(ctx context.Context, stdio launch.Stdio) (int, error) {
		return bottle.Run(ctx, stdio)
	})
	closeErr := bottle.Close(context.WithoutCancel(ctx))
	fmt.Fprint(s.Stderr, bottle.Receipt())
	if runErr != nil {
		return errors.Join(runErr, closeErr)
	}
	return errors.Join(exitWith(code), closeErr)
}

func planCommand() command {
	return command{
		name: "plan", args: "AGENT",
		summary: "show what start would do, without doing it",
		help:    "  bottle plan demo\n  bottle plan demo --format=json",
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			mode := promptModeFlag(flags)
			format := formatFlag(flags)
			return func(ctx context.Context, s *session) error {
				agent, err := s.agent()
				if err != nil {
					return err
				}
				prompt, err := promptMode(*mode)
				if err != nil {
					return err
				}
				p, err := s.app.Plan(ctx, app.PlanRequest{Agent: agent, Asks: true, Terminal: true, Prompt: prompt})
				if err != nil {
					return err
				}
				return s.printPlan(p, *format)
			}
		},
	}
}

func (s *session) printPlan(p plan.Plan, format format) error {
	if format == formatJSON {
		return writeJSON(s.Stdout, p)
	}
	fmt.Fprintln(s.Stdout, strings.TrimRight(p.Preflight(), "\n"))
	return nil
}
