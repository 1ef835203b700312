package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/digest"
	"bottle.internal/internal/event"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
	"bottle.internal/pkg/smolvm"
)

// Start launches a plan. The caller closes the bottle.
func (a *App) Start(ctx context.Context, p plan.Plan) (*launch.Bottle, error) {
	a.mentionOthers(ctx, p)
	client, err := a.vmTool(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.room(client.Tool()); err != nil {
		return nil, err
	}
	deps, done, err := a.deps(ctx, p, client)
	if err != nil {
		return nil, err
	}
	defer done()
	bottle, err := launch.Start(ctx, p, deps)
	if err != nil {
		return nil, engineProblem(err)
	}
	return bottle, nil
}

// deps opens what a launch needs. It gives that back itself, by its Release; done is for
// what it has read when it returns.
func (a *App) deps(ctx context.Context, p plan.Plan, client *smolvm.Client) (deps launch.Deps, done func(), err error) {
	values, err := a.values(ctx, p.Env)
	if err != nil {
		return launch.Deps{}, nil, err
	}
	prompt, err := a.promptText(p.Prompt)
	if err != nil {
		return launch.Deps{}, nil, fmt.Errorf("reading the prompt: %w", err)
	}
	secrets, err := a.secrets(p)
	if err != nil {
		return launch.Deps{}, nil, err
	}
	skills, closeSkills, err := a.skills(p.Skills)
	if err != nil {
		return launch.Deps{}, nil, err
	}
	sidecars, engine, err := a.sidecars(ctx)
	if err != nil {
		closeSkills()
		return launch.Deps{}, nil, err
	}
	log, err := a.openAudit(names.Identity(p.Identity))
	if err != nil {
		closeSkills()
		return launch.Deps{}, nil, errors.Join(fmt.Errorf("opening the audit log: %w", err), engine.Close())
	}
	started, _, _ := execx.StartTime(os.Getpid())
	machine, shares := a.machineOf(client, p.Identity)
	return launch.Deps{
		Machine: machine, Shares: shares, Tool: client.Tool(), Sidecars: sidecars, Values: values, Skills: skills, Prompt: prompt,
		Secrets: secrets, Audit: log, Targets: boundary.Open, State: a.state, Owner: a.owner(), Events: a.events, PID: os.Getpid(), PIDStart: started, Now: time.Now,
		Release:  func() error { return errors.Join(a.closeAudit(ctx, p.Identity, log), engine.Close()) },
		Artifact: func(ctx context.Context) (launch.Artifact, error) { return a.bootable(ctx, client, p.Image.Tools) },
		Tools:    func(ctx context.Context, machine string) []digest.Sum { return a.digests(ctx, client, machine) },
		Program:  a.guestProgram, Fill: a.fill(p), Observe: a.config.Observe,
	}, closeSkills, nil
}

// mentionOthers says which bottles of the same agent run: several may, but somebody who
// forgot one should know.
func (a *App) mentionOthers(ctx context.Context, p plan.Plan) {
	rows, _ := a.List(ctx)
	for _, row := range rows {
		if row.Agent == p.Agent {
			a.events.Send(ctx, event.Event{
				Kind: event.Warn, Step: "start",
				Text: fmt.Sprintf("%s of the same agent is %s; this one is %s", row.Identity, row.State, p.Identity),
			})
		}
	}
}

// values fetches what the plan only names.
func (a *App) values(ctx context.Context, variables []plan.Env) (map[string]secret.Value, error) {
	values := map[string]secret.Value{}
	for _, variable := range variables {
		switch variable.Source {
		case "host":
			values[variable.Name] = secret.New(a.config.getenv(variable.From))
		case "prompt":
			answer, err := a.config.Ask(ctx, variable.From)
			if err != nil {
				return nil, err
			}
			values[variable.Name] = answer
		}
	}
	return values, nil
}

// skills opens the directories of a plan's skills. Nothing is read through a symlink
// that leads out of them; the caller closes them when the launch has read them.
func (a *App) skills(skills []plan.Skill) (map[string]fs.FS, func(), error) {
	open, roots := map[string]fs.FS{}, []*os.Root{}
	closeAll := func() {
		for _, root := range roots {
			_ = root.Close()
		}
	}
	for _, skill := range skills {
		parent, err := os.OpenRoot(a.hostPath(skill.Root))
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("opening the skill %s: %w", skill.Name, err)
		}
		roots = append(roots, parent)
		root, err := parent.OpenRoot(skill.Name)
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("opening the skill %s: %w", skill.Name, err)
		}
		roots = append(roots, root)
		open[skill.Name] = root.FS()
	}
	return open, closeAll, nil
}
