package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

// Exec runs a program in a bottle that another process owns.
func (a *App) Exec(ctx context.Context, identity string, command guestexec.Command, stdio guestexec.Stdio) (int, error) {
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
	client, err := a.runningClient(ctx, status)
	if err != nil {
		return 0, err
	}
	return guestexec.Guest{Machine: client, Name: status.Machine}.Run(ctx, command, stdio)
}

func notRunning(instance *state.Instance, status state.Status) error {
	now, hint := instance.Now(status), "bottle list"
	if now == state.Stopped {
		hint = "bottle resume " + string(instance.ID)
	}
	return &Problem{Text: fmt.Sprintf("%s is not running (%s)", instance.ID, now), Hints: []string{hint}}
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

// runningClient is for a bottle that runs: its owner has asked the tool who it is, and a
// person who waits for a prompt need not wait for the same answer.
func (a *App) runningClient(ctx context.Context, status state.Status) (*smolvm.Client, error) {
	name, text, _ := strings.Cut(status.VMTool, " ")
	version, err := smolvm.ParseVersion(text)
	if _, statErr := os.Stat(status.VMPath); err != nil || statErr != nil {
		return a.clientOf(ctx, status)
	}
	return smolvm.New(smolvm.Config{
		Tool: smolvm.Tool{Path: status.VMPath, Name: name, Version: version},
		Env:  smolvm.Environ(a.config.Environ, map[string]string{"SMOLVM_LITE_KERNEL": a.kernelDir()}), Grace: toolGrace,
	}), nil
}

// clientOf is the VM tool that a bottle was started with. Without one on record, or
// when it is gone, it is the one that would be used now.
func (a *App) clientOf(ctx context.Context, status state.Status) (*smolvm.Client, error) {
	if _, err := os.Stat(status.VMPath); err != nil {
		return a.vmTool(ctx)
	}
	return a.vmClient(ctx, status.VMPath, map[string]string{"SMOLVM_LITE_KERNEL": a.kernelDir()})
}
