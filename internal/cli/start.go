package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
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
  bottle start claude --copy-in . --copy-out
  bottle start claude --prompt-mode=batch
  id=$(bottle start demo --yes --detach)

In batch mode the agent works on its prompt and ends; interactive begins a session with it.

It exits with the agent's exit code. If that is 0 everything is removed; after any other
end the machine's disk is kept for "bottle resume", unless --rm is given.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			o := startOptions{raw: rawFlag(flags), mode: promptModeFlag(flags), format: formatFlag(flags), carried: workspaceFlags(flags)}
			flags.BoolVar(&o.remove, "rm", false, "remove everything whatever the agent's end")
			flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
			flags.BoolVar(&o.dryRun, "dry-run", false, "print the preflight (or the plan, as JSON) and stop")
			flags.BoolVarP(&o.detached, "detach", "d", false, "return when the agent runs; its terminal: bottle attach")
			flags.BoolVar(&o.trustCwd, "trust-cwd", false, "allow agents from ./bottle.toml without asking")
			progressFlags(flags)
			return func(ctx context.Context, s *session) error {
				s.raw = *o.raw
				request, err := o.request(s)
				if err != nil {
					return err
				}
				p, err := s.app.Plan(ctx, request)
				if err != nil {
					return err
				}
				if o.dryRun {
					return s.printPlan(p, *o.format)
				}
				if err := s.preflight(ctx, p, o.yes); err != nil {
					return err
				}
				if o.detached {
					return s.detach(ctx, app.Detached{Plan: p, Remove: o.remove})
				}
				return s.start(ctx, p, app.Ending{
					Rule: keepRule(o.remove), Finish: s.finish(p, o.carried.copyOutOptions(o.yes)), Holds: p.Workspace != nil,
				})
			}
		},
	}
}

// startOptions are the flags of start.
type startOptions struct {
	remove, yes, dryRun, detached, trustCwd bool
	raw                                     *bool
	mode                                    *string
	format                                  *format
	carried                                 *workspaceOptions
}

// request is what the command line asks for.
func (o *startOptions) request(s *session) (request app.PlanRequest, err error) {
	if request.Agent, err = s.agent(); err != nil {
		return request, err
	}
	if *o.format == formatJSON && !o.dryRun {
		return request, &usageError{text: "--format=json goes with --dry-run: else stdout is the agent's", hints: []string{s.again("--dry-run")}}
	}
	if request.Prompt, err = promptMode(*o.mode); err != nil {
		return request, err
	}
	if request.Workspace, err = o.carried.request(s, o.yes || o.dryRun); err != nil {
		return request, err
	}
	if o.detached && request.Workspace != nil && request.Workspace.CopyOut {
		return request, &usageError{text: "--copy-out needs somebody who waits for the end: leave it out with --detach", hints: []string{"bottle copy-out IDENTITY"}}
	}
	request.TrustCwd, request.Asks = o.trustCwd, !o.yes && s.interactive()
	request.Terminal = s.interactive() || o.detached // which gives the agent one of its own
	return request, nil
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
	return s.confirm(ctx, "Start "+p.Identity+"?", yes)
}

// confirm asks before something happens.
func (s *session) confirm(ctx context.Context, question string, yes bool) error {
	if yes {
		return nil
	}
	if !s.interactive() {
		return &usageError{
			text:  "there is no terminal to ask on",
			hints: []string{s.again("--yes")},
		}
	}
	fmt.Fprintf(s.Stderr, "%s [y/N] ", question)
	answer, err := readLine(ctx, s)
	if err != nil {
		return err
	}
	if !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return errors.New("nothing was done")
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
		return "", errors.New("no answer: nothing was done")
	}
	return strings.TrimSpace(line), nil
}

func (s *session) start(ctx context.Context, p plan.Plan, ending app.Ending) error {
	bottle, err := s.app.Start(ctx, p)
	if err != nil {
		return err
	}
	return s.runAndClose(ctx, bottle, ending)
}

func keepRule(rm bool) app.KeepRule {
	if rm {
		return app.KeepNever
	}
	return app.KeepUnfinished
}

// finish copies the workspace out at the end, where that was asked for.
func (s *session) finish(p plan.Plan, out copyOutOptions) func(context.Context) error {
	if p.Workspace == nil || !p.Workspace.CopyOut {
		return nil
	}
	return func(ctx context.Context) error { return s.copyOut(ctx, p.Identity, "", out) }
}

func planCommand() command {
	return command{
		name: "plan", args: "AGENT",
		summary: "show what start would do, without doing it",
		help: `  bottle plan demo
  bottle plan demo --format=json
  bottle plan --diff demo-x7k2p    what today's manifest would change for that bottle;
                                   a line with "!" widens what the agent can do`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			mode := promptModeFlag(flags)
			format := formatFlag(flags)
			diff := flags.String("diff", "", "compare with the plan of the bottle `identity`; AGENT may be left out")
			return func(ctx context.Context, s *session) error {
				if flags.Changed("diff") {
					return s.planDiff(ctx, *diff, *format)
				}
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
