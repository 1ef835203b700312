package launch

import (
	"context"
	"errors"
	"time"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/state"
)

// Kept is a bottle that nobody owns any more, as it is resumed.
type Kept struct {
	Instance *state.Instance // locked; Resume takes the lock over
	Status   state.Status
	Fresh    bool // a new machine in place of the old one
}

// Resume launches p in a bottle that exists. Its machine is stopped and its bundle gone.
// It is a launch but for the machine, which is there, and for its end when it fails: the
// bottle is kept, as it was.
func Resume(ctx context.Context, p plan.Plan, deps Deps, kept Kept) (*Bottle, error) {
	b := newBottle(p, deps)
	b.instance, b.status, b.kept, b.keep = kept.Instance, kept.Status, &kept, true
	if err := b.launch(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, errors.Join(err, b.settle(context.WithoutCancel(ctx)))
	}
	b.keep = false
	return b, nil
}

// Keep takes the bottle down as Close does, but its machine is only stopped and its
// instance stays, for a resume. Code is the agent's exit code, or nil if something else
// ended it.
func (b *Bottle) Keep(ctx context.Context, code *int) error {
	b.keep = true
	b.status.ExitCode, b.status.Ended = code, b.deps.Now().UTC()
	return b.settle(ctx)
}

// StatusOf is a bottle's status, or what follows from its identity where that cannot be read:
// half a file must not stand in the way.
func StatusOf(instance *state.Instance) state.Status {
	status, err := instance.Status()
	if err != nil {
		status = state.Status{Identity: instance.ID, Agent: instance.ID.Agent()}
	}
	if status.Machine == "" {
		status.Machine = MachineName(instance.ID)
	}
	return status
}

// Wish is what somebody who stops this bottle wants to become of it.
func (b *Bottle) Wish() state.Wish { return b.instance.Wish() }

// settle takes down what runs and keeps the rest.
func (b *Bottle) settle(ctx context.Context) error {
	if err := b.takeDown(ctx); err != nil {
		return err
	}
	defer b.instance.Unlock()
	b.status.PID, b.status.PIDStart = 0, ""
	return b.write(state.Stopped)
}

// begun writes down that the agent gets the machine now.
func (b *Bottle) begun(ctx context.Context) error {
	if b.kept != nil {
		if err := b.writePlan(); err != nil {
			return err
		}
	}
	b.status.ExitCode, b.status.Ended = nil, time.Time{}
	b.audit(ctx, audit.Host, eventRunning, nil)
	return nil
}

// The events of the audit log that tell of a bottle's life; their source is the host.
const (
	eventRunning = "running"
	eventExit    = "exit"
	eventResumed = "resumed"
	eventStopped = "stopped"
)

// auditExit tells how the agent ended.
func (b *Bottle) auditExit(ctx context.Context, code int, err error) {
	fields := map[string]any{"code": code}
	if err != nil {
		fields = map[string]any{"error": err.Error()}
	}
	b.audit(context.WithoutCancel(ctx), audit.Host, eventExit, fields)
}
