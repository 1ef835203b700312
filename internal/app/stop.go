package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/state"
)

const (
	// stopPatience is how long a living owner has to take its bottle down.
	stopPatience = 10 * time.Second
	stopPoll     = 50 * time.Millisecond
)

// Stop ends a bottle. A living owner is asked to; what is left of a dead one is removed.
func (a *App) Stop(ctx context.Context, identity string) error {
	instance, err := a.open(identity)
	if err != nil {
		return err
	}
	if err := a.askOwner(ctx, instance); err != nil {
		return err
	}
	switch err := instance.Lock(); {
	case errors.Is(err, os.ErrNotExist):
		return nil // the owner removed everything
	case err != nil:
		return err
	}
	defer instance.Unlock()
	status, err := instance.Status()
	if err != nil {
		// Half a status file must not stand in the way: the names follow from the identity.
		status = state.Status{Identity: instance.ID, Agent: instance.ID.Agent()}
	}
	if status.Machine == "" {
		status.Machine = launch.MachineName(instance.ID)
	}
	// Now that the lock is ours, the dead owner's pid means nothing, or somebody else.
	status.PID, status.Phase = 0, state.Stopping
	_ = instance.WriteStatus(status) // a full disk must not keep it from being removed
	if err := a.removeResources(ctx, status); err != nil {
		return &launch.LeftoverError{Identity: identity, Err: err}
	}
	return instance.Remove()
}

// askOwner sends the owner SIGTERM and waits for it. The lock is proof that the pid is
// still the owner's; who takes the lock of a dead one, to remove it, clears the pid.
func (a *App) askOwner(ctx context.Context, instance *state.Instance) error {
	if !instance.Owned() {
		return nil
	}
	status, err := instance.Status()
	if err != nil {
		return err
	}
	if status.PID > 1 {
		if err := syscall.Kill(status.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("asking process %d to stop %s: %w", status.PID, instance.ID, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	for instance.Owned() {
		select {
		case <-ctx.Done():
			return notStopped(ctx, instance, status.PID)
		case <-time.After(stopPoll):
		}
	}
	return nil
}

func notStopped(ctx context.Context, instance *state.Instance, pid int) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	if pid <= 1 {
		return &Problem{
			Text:  fmt.Sprintf("another process is still starting or removing %s", instance.ID),
			Hints: []string{"bottle list", "bottle stop " + string(instance.ID)},
		}
	}
	return &Problem{
		Text:  fmt.Sprintf("process %d did not stop %s within %s", pid, instance.ID, stopPatience),
		Hints: []string{fmt.Sprintf("kill -9 %d && bottle stop %s", pid, instance.ID)},
	}
}

// removeResources removes the machine and the containers of a bottle, whatever exists
// of them.
func (a *App) removeResources(ctx context.Context, status state.Status) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	return errors.Join(a.removeMachine(ctx, status), a.removeBundle(ctx, status.Identity))
}

func (a *App) removeMachine(ctx context.Context, status state.Status) error {
	client, err := a.clientOf(ctx, status)
	if err != nil {
		return err
	}
	return client.Delete(ctx, status.Machine)
}
