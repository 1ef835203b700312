package leftovers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
)

// patience is how long the tools have to remove one bottle.
const patience = 10 * time.Second

// Remove removes a leftover, if it still is one. It reports whether there was something
// to do: somebody else may have been faster, or have taken the bottle up again.
func (s Sweeper) Remove(ctx context.Context, l Leftover) (done bool, err error) {
	id, err := names.ParseIdentity(l.Identity)
	if err != nil {
		return false, err
	}
	instance, err := s.State.Open(id)
	if errors.Is(err, state.ErrNotFound) {
		return true, s.removeRest(ctx, id, l)
	}
	if err != nil {
		return false, err
	}
	switch err := instance.Lock(); {
	case errors.Is(err, state.ErrLocked), errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	defer instance.Unlock()
	kept := launch.StatusOf(instance).Phase == state.Stopped
	switch {
	case l.instance && kept == (l.State == state.Stopped):
		return true, errors.Join(s.RemoveDead(ctx, instance), s.removeSockets(l))
	case !l.instance && kept: // its machine stays
		return true, errors.Join(s.Engine.Remove(ctx, id), s.removeSockets(l))
	}
	return false, nil
}

// removeRest removes what has no instance any more. Nobody can make one of that identity:
// they are drawn by chance, and never twice.
func (s Sweeper) removeRest(ctx context.Context, id names.Identity, l Leftover) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	machines, problems := s.ourMachines(ctx)
	if m, ok := machines[launch.MachineName(id)]; ok {
		problems = append(problems, m.tool.Delete(ctx, m.name))
	}
	err := errors.Join(append(problems, s.Engine.Remove(ctx, id), s.removeSockets(l))...)
	if err != nil {
		return fmt.Errorf("removing what is left of %s: %w", id, err)
	}
	return nil
}

func (s Sweeper) removeSockets(l Leftover) error {
	var problems []error
	for _, dir := range l.sockets {
		problems = append(problems, s.State.RemoveSocketDir(dir))
	}
	for _, file := range l.files {
		problems = append(problems, s.State.RemoveStrayFile(file))
	}
	return errors.Join(problems...)
}

// RemoveDead removes a bottle that nobody owns; the caller holds the lock.
func (s Sweeper) RemoveDead(ctx context.Context, instance *state.Instance) error {
	status := s.forgetOwner(instance)
	if err := s.removeResources(ctx, status); err != nil {
		return &launch.LeftoverError{Identity: string(instance.ID), Err: err}
	}
	if s.Observe != nil {
		defer s.Observe("removing the instance")
	}
	return instance.Remove()
}

// KeepDead stops what a dead owner left running, and leaves the rest for a resume; the caller
// holds the lock.
func (s Sweeper) KeepDead(ctx context.Context, instance *state.Instance) error {
	if status, err := instance.Status(); err == nil && status.Phase == state.Stopped {
		return nil
	}
	status := s.forgetOwner(instance)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tool, err := s.Tools.Of(ctx, status)
	if err == nil {
		err = tool.Stop(ctx, status.Machine)
	}
	if err := errors.Join(err, s.Engine.Remove(ctx, instance.ID)); err != nil {
		return &launch.LeftoverError{Identity: string(instance.ID), Err: err, Kept: true}
	}
	status.Phase, status.Ended = state.Stopped, time.Now().UTC()
	return instance.WriteStatus(status)
}

// forgetOwner is called with the lock: the dead owner's pid means nothing now, or somebody
// else.
func (s Sweeper) forgetOwner(instance *state.Instance) state.Status {
	status := launch.StatusOf(instance)
	status.PID, status.PIDStart, status.Phase = 0, "", state.Stopping
	_ = instance.WriteStatus(status) // a full disk must not keep it from being removed
	return status
}

// removeResources removes the machine and the containers of a bottle, whatever exists
// of them.
func (s Sweeper) removeResources(ctx context.Context, status state.Status) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return errors.Join(s.removeMachine(ctx, status), s.Engine.Remove(ctx, status.Identity))
}

func (s Sweeper) removeMachine(ctx context.Context, status state.Status) error {
	tool, err := s.Tools.Of(ctx, status)
	if err != nil {
		return err
	}
	machine, err := tool.Status(ctx, status.Machine)
	if owner := machine.Labels[launch.LabelOwner]; err == nil && owner != "" && owner != s.State.Owner() {
		return nil // of another state directory, under the same name
	}
	return tool.Delete(ctx, status.Machine)
}
