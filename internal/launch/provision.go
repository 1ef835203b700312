package launch

import (
	"context"
	"fmt"

	"bottle.internal/internal/event"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
	"bottle.internal/pkg/provision"
	"bottle.internal/pkg/smolvm"
)

// provision puts certificates, prompt, settings and environment into the guest, as one
// archive and one command.
func (b *Bottle) provision(ctx context.Context) error {
	input, err := b.provisionInput()
	if err != nil {
		return err
	}
	rendered, err := provision.Render(input)
	if err != nil {
		return fmt.Errorf("rendering what goes into the guest: %w", err)
	}
	if err := provision.Apply(ctx, rootOf{b.deps.Machine, b.plan.VM.Name}, rendered); err != nil {
		return err
	}
	b.say(ctx, event.Info, "provision", fmt.Sprintf("%d files provisioned", len(rendered.Files)))
	return nil
}

func (b *Bottle) provisionInput() (provision.Input, error) {
	input := provision.Input{
		CAs:     b.trust.certs,
		Prompt:  provision.Prompt{Path: b.plan.Prompt.Guest, Copy: b.plan.Prompt.Copy, Text: b.deps.Prompt},
		Workdir: b.plan.Workdir,
	}
	if user := b.plan.Git.User; user != nil {
		input.Git.Name, input.Git.Email = user.Name, user.Email
	}
	for _, skill := range b.plan.Skills {
		files, ok := b.deps.Skills[skill.Name]
		if !ok {
			return provision.Input{}, fmt.Errorf("the skill %s has not been opened", skill.Name)
		}
		input.Skills = append(input.Skills, provision.Skill{Name: skill.Name, FS: files})
	}
	for _, file := range b.plan.Files {
		input.Settings = append(input.Settings, provision.Setting{Path: file.Path, Data: []byte(file.Text)})
	}
	for _, env := range b.plan.Env {
		value, err := b.value(env)
		if err != nil {
			return provision.Input{}, err
		}
		input.Env = append(input.Env, provision.Variable{Name: env.Name, Value: []byte(value.Reveal())})
	}
	return input, nil
}

// value finds what a variable of the guest is set to.
func (b *Bottle) value(env plan.Env) (secret.Value, error) {
	switch {
	case env.Visible():
		value, ok := b.deps.Values[env.Name]
		if !ok {
			return secret.Value{}, fmt.Errorf("there is no value for the variable %s", env.Name)
		}
		return value, nil
	case env.Source == plan.SourceLaunch:
		return secret.New(b.canary.addr()), nil
	default:
		return secret.New(env.Value), nil
	}
}

// rootOf runs provisioning's commands as the guest's root, through bottle-guest, so that
// their exit codes are the guest's own and not the VM tool's.
type rootOf struct {
	machine Machine
	name    string
}

// Exec implements [provision.Guest].
func (g rootOf) Exec(ctx context.Context, e provision.Exec) (int, error) {
	return Exec(ctx, g.machine, g.name, Command{Argv: e.Command, Workdir: "/", Root: true},
		Stdio{Stdin: e.Stdin, Stdout: e.Stdout, Stderr: e.Stderr})
}

var (
	_ provision.Guest = rootOf{}
	_ Machine         = (*smolvm.Client)(nil)
)
