package launch

import (
	"context"
	"errors"
	"fmt"

	"bottle.internal/internal/event"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
	"bottle.internal/pkg/provision"
	"bottle.internal/pkg/smolvm"
)

// provision puts certificates, prompt, settings and environment into the guest, as one
// archive that one command takes once it has proved the firewall.
func (b *Bottle) provision(ctx context.Context) error {
	input, err := b.provisionInput(ctx)
	if err != nil {
		return err
	}
	rendered, err := provision.Render(input)
	if err != nil {
		return fmt.Errorf("rendering what goes into the guest: %w", err)
	}
	if err := provision.Apply(ctx, installer{b, input.Program}, rendered); err != nil {
		// Nothing was provisioned yet.
		if boot := (*BootError)(nil); errors.As(err, &boot) {
			return boot
		}
		if broken := (*BoundaryError)(nil); errors.As(err, &broken) {
			return broken
		}
		return err
	}
	b.say(ctx, event.Info, "provision", fmt.Sprintf("%d files provisioned", len(rendered.Files)))
	return nil
}

func (b *Bottle) provisionInput(ctx context.Context) (provision.Input, error) {
	input := provision.Input{
		CAs:     b.trust.certs,
		Prompt:  provision.Prompt{Path: b.plan.Prompt.Guest, Text: b.deps.Prompt},
		Workdir: b.plan.Workdir,
	}
	if b.kept != nil { // an earlier run could have changed it, and this bottle may be a newer one
		var err error
		if input.Program, err = b.deps.Program(ctx); err != nil {
			return provision.Input{}, err
		}
	}
	if user := b.plan.Git.User; user != nil {
		input.Git.Name, input.Git.Email = user.Name, user.Email
	}
	for _, remote := range b.plan.Git.Remotes {
		input.Git.Remotes = append(input.Git.Remotes, provision.Remote{
			Upstream: upstreamURL(remote), Gate: fmt.Sprintf("http://127.0.0.1:%d/%s.git", plan.PortGitGate, remote.Name),
		})
	}
	if b.plan.Supervise {
		input.Supervise = fmt.Sprintf("http://127.0.0.1:%d/mcp", plan.PortSupervise)
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
	input.Settings = append(input.Settings, b.alarm.settings()...)
	for _, env := range b.plan.Env {
		value, err := b.value(env)
		if err != nil {
			return provision.Input{}, err
		}
		input.Env = append(input.Env, provision.Variable{Name: env.Name, Value: []byte(value.Reveal())})
	}
	return input, nil
}

// upstreamURL is how people write a repository, and so the agent.
func upstreamURL(remote plan.Remote) string {
	host := remote.Host
	if remote.Port != sshPort {
		host = fmt.Sprintf("%s:%d", host, remote.Port)
	}
	return fmt.Sprintf("ssh://%s@%s%s", remote.User, host, remote.Path)
}

const sshPort = 22

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
		return secret.New(b.targets.Loopback().Addr()), nil
	default:
		return secret.New(env.Value), nil
	}
}

var _ Machine = (*smolvm.Client)(nil)
