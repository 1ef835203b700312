package launch

import (
	"context"
	"errors"
)

// Runner runs a program in the machine, as [Exec] does.
type Runner func(ctx context.Context, command Command, stdio Stdio) (int, error)

// fill copies the workspace into a machine that has just been made.
func (b *Bottle) fill(ctx context.Context) error {
	if b.plan.Workspace == nil || b.kept != nil && !b.kept.Fresh { // an old disk has it already
		return nil
	}
	if b.deps.Fill == nil {
		return errors.New("nobody copies the workspace")
	}
	return b.deps.Fill(ctx, func(ctx context.Context, command Command, stdio Stdio) (int, error) {
		return Exec(ctx, b.deps.Machine, b.plan.VM.Name, command, stdio)
	})
}
