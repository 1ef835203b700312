package app

import (
	"context"
	"os"
	"time"

	"bottle.internal/internal/state"
)

// Row is a bottle in a list.
type Row struct {
	Identity string    `json:"identity"`
	Agent    string    `json:"agent"`
	State    string    `json:"state"`               // starting, running, stopping, stopped, or orphaned
	Exit     *int      `json:"exit_code,omitempty"` // of the agent, once it is stopped
	Ended    time.Time `json:"ended,omitzero"`
	Age      string    `json:"age"`
	Created  time.Time `json:"created"`
	VMTool   string    `json:"vm_tool"`
	Firewall string    `json:"firewall"`
	PID      int       `json:"pid"` // of the owner; meaningless when orphaned

	LastDenial *Denial `json:"last_denial,omitempty"`
	Alarm      bool    `json:"alarm,omitempty"` // a fake credential of it was seen
}

// List reports every bottle; a broken one is in the rows and in the problems.
func (a *App) List(context.Context) ([]Row, []error) {
	rows := []Row{}
	instances, problems := a.state.List()
	for _, instance := range instances {
		status, now, err := look(instance)
		if now == gone {
			continue
		}
		if err != nil {
			problems = append(problems, err)
		}
		row := Row{
			Identity: string(instance.ID), Agent: status.Agent, State: now,
			Created: status.Created, Age: "?", VMTool: status.VMTool, Firewall: status.Firewall, PID: status.PID,
			LastDenial: a.lastDenial(instance.ID),
		}
		if row.State == string(state.Stopped) {
			row.Exit, row.Ended = status.ExitCode, status.Ended
		}
		if !status.Created.IsZero() {
			row.Age = time.Since(status.Created).Truncate(time.Second).String()
		}
		_, err = os.Stat(instance.Path(state.AlarmFile))
		row.Alarm = err == nil
		rows = append(rows, row)
	}
	return rows, problems
}

// look reads a bottle's status and says what state it is in.
func look(instance *state.Instance) (status state.Status, now string, err error) {
	status, err = instance.Status()
	if now = stateOf(instance, status); now != orphaned {
		return status, now, err
	}
	// Or its owner has just ended: what it wrote last counts.
	if status, err = instance.Status(); instance.Gone() {
		return status, gone, nil
	}
	return status, stateOf(instance, status), err
}

// orphaned is the state of a bottle whose process is gone.
const orphaned = "orphaned"

// stateOf asks the lock first: it is what a killed process cannot hold. One who holds it
// without having written a phase of its own takes a bottle up or away.
func stateOf(instance *state.Instance, status state.Status) string {
	owned := instance.Owned()
	switch {
	case !owned && status.Phase == state.Stopped:
		return string(state.Stopped)
	case !owned:
		return orphaned
	case status.Phase == state.Stopped:
		return string(state.Starting)
	}
	return string(status.Phase)
}
