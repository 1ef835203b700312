package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"bottle.internal/internal/execx"
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
		return a.leftovers().KeepDead(ctx, instance)
	}
	return a.leftovers().RemoveDead(ctx, instance)
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
