package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

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
		return nil, &Problem{Text: "there is no bottle " + identity, Hints: []string{"bottle list"}}
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

// Row is a bottle in a list.
type Row struct {
	Identity string    `json:"identity"`
	Agent    string    `json:"agent"`
	State    string    `json:"state"` // starting, running, stopping, or orphaned
	Age      string    `json:"age"`
	Created  time.Time `json:"created"`
	VMTool   string    `json:"vm_tool"`
	Firewall string    `json:"firewall"`
	PID      int       `json:"pid"` // of the owner; meaningless when orphaned
	Alarm    bool      `json:"alarm,omitempty"`
}

// List reports every bottle; a broken one is in the rows and in the problems.
func (a *App) List(context.Context) ([]Row, []error) {
	rows := []Row{}
	instances, problems := a.state.List()
	for _, instance := range instances {
		status, err := instance.Status()
		if err != nil {
			problems = append(problems, err)
		}
		row := Row{
			Identity: string(instance.ID), Agent: status.Agent, State: stateOf(instance, status),
			Created: status.Created, Age: "?", VMTool: status.VMTool, Firewall: status.Firewall, PID: status.PID,
		}
		_, err = os.Stat(instance.Path(state.AlarmFile))
		row.Alarm = err == nil
		if !status.Created.IsZero() {
			row.Age = time.Since(status.Created).Truncate(time.Second).String()
		}
		rows = append(rows, row)
	}
	return rows, problems
}

// orphaned is the state of a bottle whose process is gone.
const orphaned = "orphaned"

func stateOf(instance *state.Instance, status state.Status) string {
	if !instance.Owned() {
		return orphaned
	}
	return string(status.Phase)
}
