package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/state"
)

const (
	// stopPatience is how long a living owner has to take its bottle down.
	stopPatience = 10 * time.Second
	stopPoll     = 50 * time.Millisecond
)

// Stop ends a bottle. A living owner is asked to; what is left of a dead one is removed.
// With keep the machine is stopped and stays for a resume, with all that is its own.
func (a *App) Stop(ctx context.Context, identity string, keep bool) error {
	instance, err := a.open(identity)
	if err != nil {
		return err
	}
	wish := state.WishRemove
	if keep {
		wish = state.WishKeep
	}
	owned := instance.Owned()
	if owned {
		// Without the word the owner goes by its own rule, and what it kept is removed below.
		if err := instance.SetWish(wish); err != nil && keep {
			return err
		}
	}
	if err := a.askOwner(ctx, instance); err != nil {
		return err
	}
	switch err := instance.Lock(); {
	case errors.Is(err, os.ErrNotExist) && keep:
		return &Problem{Text: identity + " was not kept: its agent had not run, or it was started with --rm"}
	case errors.Is(err, os.ErrNotExist):
		return nil // the owner removed everything
	case err != nil:
		return err
	}
	defer instance.Unlock()
	if keep {
		return a.keepDead(ctx, instance)
	}
	return a.removeDead(ctx, instance)
}

// removeDead removes a bottle that nobody owns; the caller holds the lock.
func (a *App) removeDead(ctx context.Context, instance *state.Instance) error {
	status := a.forgetOwner(instance)
	if err := a.removeResources(ctx, status); err != nil {
		return &launch.LeftoverError{Identity: string(instance.ID), Err: err}
	}
	defer a.did("removing the instance")
	return instance.Remove()
}

// keepDead stops what a dead owner left running, and leaves the rest for a resume.
func (a *App) keepDead(ctx context.Context, instance *state.Instance) error {
	if status, err := instance.Status(); err == nil && status.Phase == state.Stopped {
		return nil
	}
	status := a.forgetOwner(instance)
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	client, err := a.clientOf(ctx, status)
	if err == nil {
		err = client.Stop(ctx, status.Machine)
	}
	if err := errors.Join(err, a.removeBundle(ctx, instance.ID)); err != nil {
		return &launch.LeftoverError{Identity: string(instance.ID), Err: err, Kept: true}
	}
	status.Phase, status.Ended = state.Stopped, time.Now().UTC()
	return instance.WriteStatus(status)
}

// forgetOwner is called with the lock: the dead owner's pid means nothing now, or somebody
// else.
func (a *App) forgetOwner(instance *state.Instance) state.Status {
	status := statusOf(instance)
	status.PID, status.PIDStart, status.Phase = 0, "", state.Stopping
	_ = instance.WriteStatus(status) // a full disk must not keep it from being removed
	return status
}

func (a *App) did(effect string) {
	if a.config.Observe != nil {
		a.config.Observe(effect)
	}
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
	if start, _, ok := execx.StartTime(status.PID); ok && status.PIDStart != "" && start != status.PIDStart {
		status.PID = 0 // whoever holds the lock has not written its own yet
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
	machine, err := client.Status(ctx, status.Machine)
	if owner := machine.Labels[launch.LabelOwner]; err == nil && owner != "" && owner != a.owner() {
		return nil // of another state directory, under the same name
	}
	return client.Delete(ctx, status.Machine)
}
