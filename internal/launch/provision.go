package launch

import (
	"context"
	"errors"
	"fmt"

	"bottle.internal/internal/event"
	"bottle.internal/internal/launch/proof"
	"bottle.internal/internal/outfit"
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
	guest := proof.Installer{Guest: b.guest(), Checks: b.checks, Record: b.probed, Program: input.Program}
	if err := provision.Apply(ctx, guest, rendered); err != nil {
		// Nothing was provisioned yet.
		if none := (*proof.NoProofError)(nil); errors.As(err, &none) {
			return &BootError{Err: none.Err}
		}
		if broken := (*proof.BoundaryError)(nil); errors.As(err, &broken) {
			return broken
		}
		return err
	}
	b.say(ctx, event.Info, "provision", fmt.Sprintf("%d files provisioned", len(rendered.Files)))
	return nil
}

func (b *Bottle) provisionInput(ctx context.Context) (provision.Input, error) {
	input := outfit.Of(b.plan, b.deps.Prompt)
	input.CAs = b.trust.certs
	if b.kept != nil { // an earlier run could have changed it, and this bottle may be a newer one
		var err error
		if input.Program, err = b.deps.Program(ctx); err != nil {
			return provision.Input{}, err
		}
	}
	for _, skill := range b.plan.Skills {
		files, ok := b.deps.Skills[skill.Name]
		if !ok {
			return provision.Input{}, fmt.Errorf("the skill %s has not been opened", skill.Name)
		}
		input.Skills = append(input.Skills, provision.Skill{Name: skill.Name, FS: files})
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
