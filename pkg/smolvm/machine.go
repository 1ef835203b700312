package smolvm

import (
	"encoding/json"
	"errors"
	"fmt"
)

// State is what the tool says of a machine. Tools may know more states than we do.
type State string

// The states that we act on.
const (
	StateCreated     State = "created"
	StateRunning     State = "running"
	StateStopped     State = "stopped"
	StateFailed      State = "failed"
	StateUnreachable State = "unreachable" // the VMM lives, the guest does not answer
	StateFrozen      State = "frozen"
)

// Machine is one machine as the tool reports it.
type Machine struct {
	Name    string
	State   State
	PID     int // of the VMM; 0 in a state without one
	CPUs    int // 0 if the tool did not say
	MemMiB  int // 0 if the tool did not say
	Image   string
	Labels  map[string]string
	Network bool // also true if the tool did not say
	// Components are the files that it was started from, by name. smolvm-lite alone says so.
	Components map[string]string
}

// Running reports whether programs can be run in it. An unknown state is not running.
func (m Machine) Running() bool { return m.State == StateRunning }

// Dead reports whether there is no VMM process. A state that we do not know may have one.
func (m Machine) Dead() bool {
	return m.State == StateCreated || m.State == StateStopped || m.State == StateFailed
}

// decodeMachine reads what it knows, field by field: later tools add fields and may
// change those that do not matter to us. Only the name must be there.
func decodeMachine(data []byte) (Machine, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return Machine{}, fmt.Errorf("reading a machine: %w", err)
	}
	machine := Machine{Network: true}
	field(fields, "name", &machine.Name)
	if machine.Name == "" {
		return Machine{}, errors.New("reading a machine: it has no name")
	}
	field(fields, "state", &machine.State)
	field(fields, "pid", &machine.PID)
	field(fields, "cpus", &machine.CPUs)
	field(fields, "memory_mib", &machine.MemMiB)
	field(fields, "image", &machine.Image)
	field(fields, "labels", &machine.Labels)
	field(fields, "network", &machine.Network)
	field(fields, "components", &machine.Components)
	// The record keeps the id of a process that died; 1 and below are never a VMM.
	if machine.Dead() || machine.PID <= 1 {
		machine.PID = 0
	}
	return machine, nil
}

// field leaves the target alone when the value is absent, null or of another type.
func field[T any](fields map[string]json.RawMessage, name string, target *T) {
	var value *T
	if json.Unmarshal(fields[name], &value) == nil && value != nil {
		*target = *value
	}
}

func decodeMachines(data []byte) ([]Machine, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return nil, fmt.Errorf("reading the list of machines: %w", err)
	}
	machines := make([]Machine, 0, len(items))
	for _, item := range items {
		machine, err := decodeMachine(item)
		if err != nil {
			return nil, err
		}
		machines = append(machines, machine)
	}
	return machines, nil
}
