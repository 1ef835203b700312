package launch

import (
	"context"
	"errors"

	"bottle.internal/internal/guestexec"
)

// guest is where programs run once the machine is up.
func (b *Bottle) guest() guestexec.Guest {
	return guestexec.Guest{Machine: b.deps.Machine, Name: b.plan.VM.Name}
}

// fill copies the workspace into a machine that has just been made.
func (b *Bottle) fill(ctx context.Context) error {
	if b.plan.Workspace == nil || b.kept != nil && !b.kept.Fresh { // an old disk has it already
		return nil
	}
	if b.deps.Fill == nil {
		return errors.New("nobody copies the workspace")
	}
	return b.deps.Fill(ctx, b.guest().Run)
}

// Run runs the plan's agent and returns its exit code.
func (b *Bottle) Run(ctx context.Context, stdio guestexec.Stdio) (int, error) {
	ctx, release := b.untilAuditFails(ctx)
	defer release()
	stdio, endLog := b.logged(ctx, stdio)
	code, err := b.guest().Run(ctx, guestexec.Command{Argv: b.plan.Command, Workdir: b.plan.Workdir}, stdio)
	endLog()
	b.auditExit(ctx, code, err)
	if err == nil && b.searches() {
		b.search = b.searchGuest(ctx)
	}
	return b.verdict(code, err)
}
