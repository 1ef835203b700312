package app

import (
	"context"
	"errors"
	"fmt"
	"os"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

// Exec runs a program in a bottle that another process owns.
func (a *App) Exec(ctx context.Context, identity string, command launch.Command, stdio launch.Stdio) (int, error) {
	instance, err := a.open(identity)
	if err != nil {
		return 0, err
	}
	status, err := instance.Status()
	if err != nil {
		return 0, err
	}
	if !instance.Owned() || status.Phase != state.Running {
		return 0, notRunning(instance, status)
	}
	client, err := a.clientOf(ctx, status)
	if err != nil {
		return 0, err
	}
	return launch.Exec(ctx, client, status.Machine, command, stdio)
}

func notRunning(instance *state.Instance, status state.Status) error {
	return &Problem{
		Text:  fmt.Sprintf("%s is not running (%s)", instance.ID, stateOf(instance, status)),
		Hints: []string{"bottle list"},
	}
}

// open finds a bottle by its identity.
func (a *App) open(identity string) (*state.Instance, error) {
	id, err := names.ParseIdentity(identity)
	if err != nil {
		return nil, &Problem{Text: err.Error(), Hints: []string{"bottle list"}}
	}
	instance, err := a.state.Open(id)
	if errors.Is(err, state.ErrNotFound) {
		return nil, notFound(identity)
	}
	return instance, err
}

// clientOf is the VM tool that a bottle was started with. Without one on record, or
// when it is gone, it is the one that would be used now.
func (a *App) clientOf(ctx context.Context, status state.Status) (*smolvm.Client, error) {
	if _, err := os.Stat(status.VMPath); err != nil {
		return a.vmTool(ctx)
	}
	return a.vmClient(ctx, status.VMPath, map[string]string{"SMOLVM_LITE_KERNEL": a.kernelDir()})
}
