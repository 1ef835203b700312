package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"bottle.internal/internal/console"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/state"
)

// Attached is how an agent ended that somebody was attached to.
type Attached struct {
	console.Exit
	Kept bool // the bottle can be resumed
}

// Attach shows the terminal of a detached bottle's agent until the agent ends and its
// bottle is down, or the viewer detaches.
func (a *App) Attach(ctx context.Context, identity string, viewer console.Viewer) (Attached, error) {
	instance, err := a.open(identity)
	if err != nil {
		return Attached{}, err
	}
	status, err := instance.Status()
	if err != nil {
		return Attached{}, err
	}
	if err := attachable(instance, status); err != nil {
		return Attached{}, err
	}
	exit, err := console.Attach(ctx, launch.AttachSocket(instance, status), viewer)
	if refused := (*console.RefusedError)(nil); errors.As(err, &refused) || errors.Is(err, console.ErrGone) {
		return Attached{}, &Problem{Err: err, Hints: []string{"bottle attach " + identity, "bottle list"}}
	}
	if err != nil {
		return Attached{}, err
	}
	kept, err := a.keptAfter(ctx, instance)
	return Attached{Exit: exit, Kept: kept}, err
}

// attachable says why there is nothing to attach to.
func attachable(instance *state.Instance, status state.Status) error {
	if !instance.Owned() || status.Phase != state.Running {
		return notRunning(instance, status)
	}
	_, err := os.Lstat(launch.AttachSocket(instance, status))
	if errors.Is(err, fs.ErrNotExist) {
		return &Problem{
			Text:  fmt.Sprintf("%s runs in the foreground: its terminal is that of process %d%s", instance.ID, status.PID, terminalOf(status.PID)),
			Hints: []string{"bottle shell " + string(instance.ID), "bottle exec " + string(instance.ID) + " -- COMMAND"},
		}
	}
	return err
}

// terminalOf names a process's terminal, where that can be known.
func terminalOf(pid int) string {
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", pid))
	if err != nil || !strings.HasPrefix(name, "/dev/pts/") && !strings.HasPrefix(name, "/dev/tty") {
		return ""
	}
	return " on " + name
}

// keptAfter waits until the owner has taken its bottle down, and looks what is left of it.
func (a *App) keptAfter(ctx context.Context, instance *state.Instance) (kept bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	for instance.Owned() {
		select {
		case <-ctx.Done():
			return false, &launch.LeftoverError{Identity: string(instance.ID), Err: errors.New("its owner is still at it")}
		case <-time.After(stopPoll):
		}
	}
	if _, err := a.state.Open(instance.ID); err != nil {
		return false, nil // it is gone, as it should be
	}
	status, err := instance.Status()
	if err == nil && status.Phase != state.Stopped {
		err = errors.New("see " + instance.Path(state.OwnerLog))
	}
	if err != nil {
		return false, &launch.LeftoverError{Identity: string(instance.ID), Err: err}
	}
	return true, nil
}
