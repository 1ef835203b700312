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
		status, now, err := instance.Look()
		if now == state.Gone {
			continue
		}
		if err != nil {
			problems = append(problems, err)
		}
		row := Row{
			Identity: string(instance.ID), Agent: status.Agent, State: string(now),
			Created: status.Created, Age: "?", VMTool: status.VMTool, Firewall: status.Firewall, PID: status.PID,
			LastDenial: a.lastDenial(instance.ID),
		}
		if now == state.Stopped {
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
