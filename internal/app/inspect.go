package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

// Inspection is what is known of one bottle, and what exists of it at the moment.
type Inspection struct {
	Identity  string       `json:"identity"`
	State     string       `json:"state"`
	Status    state.Status `json:"status"`
	Directory string       `json:"directory"`
	Plan      *plan.Plan   `json:"plan"` // as it was stored; null if it cannot be read
	Machine   MachineFact  `json:"machine"`
	Engine    []EngineFact `json:"engine"`
	Sockets   []string     `json:"sockets"`
	Files     []FileFact   `json:"files"`
	// Problems are what could not be looked at.
	Problems []string `json:"problems"`
}

// MachineFact is what the VM tool says.
type MachineFact struct {
	Name  string `json:"name"`
	State string `json:"state"` // "absent" without one, "unknown" if nobody could be asked
	PID   int    `json:"pid,omitempty"`
}

// EngineFact is a container, a network or a volume.
type EngineFact struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	ID      string `json:"id"`
	Running bool   `json:"running"`
}

// FileFact is a file of the instance.
type FileFact struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// Inspect looks at everything of one bottle.
func (a *App) Inspect(ctx context.Context, identity string) (Inspection, error) {
	instance, err := a.open(identity)
	if err != nil {
		return Inspection{}, err
	}
	i := Inspection{
		Identity: identity, Directory: instance.Dir(),
		Engine: []EngineFact{}, Sockets: []string{}, Files: []FileFact{}, Problems: []string{},
	}
	problem := func(err error) {
		if err != nil {
			i.Problems = append(i.Problems, err.Error())
		}
	}
	_, now, err := instance.Look()
	problem(err)
	i.State = string(now)
	i.Status = launch.StatusOf(instance)
	if p, err := storedPlan(instance); err == nil {
		i.Plan = &p
	} else {
		problem(fmt.Errorf("what the plan was before cannot be read: %w", err))
	}
	i.Machine, err = a.machineFact(ctx, i.Status)
	problem(err)
	things, err := a.resources().List(ctx)
	problem(err)
	for _, r := range things {
		if r.Identity == identity {
			i.Engine = append(i.Engine, EngineFact{Kind: r.Kind.Thing(), Name: r.Name, ID: r.ID, Running: r.Running})
		}
	}
	problem(i.walk(instance.Dir()))
	if dir := i.Status.SocketDir; dir != "" {
		if err := i.walk(dir); !errors.Is(err, fs.ErrNotExist) {
			problem(err)
		}
	}
	return i, nil
}

func (a *App) machineFact(ctx context.Context, status state.Status) (MachineFact, error) {
	fact := MachineFact{Name: status.Machine, State: "unknown"}
	client, err := a.clientOf(ctx, status)
	if err != nil {
		return fact, err
	}
	machine, err := client.Status(ctx, status.Machine)
	switch owner := machine.Labels[launch.LabelOwner]; {
	case errors.Is(err, smolvm.ErrNotFound), err == nil && owner != "" && owner != a.owner():
		fact.State = "absent"
		return fact, nil
	case err != nil:
		return fact, err
	}
	fact.State, fact.PID = string(machine.State), machine.PID
	return fact, nil
}

// walk notes the sockets and files below dir.
func (i *Inspection) walk(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it has just gone
			return nil
		case err != nil:
			return err
		case info.Mode().Type() == fs.ModeSocket:
			i.Sockets = append(i.Sockets, path)
		default:
			name, _ := filepath.Rel(dir, path)
			i.Files = append(i.Files, FileFact{Name: name, Size: info.Size()})
		}
		return nil
	})
}

// Text is the inspection for a person: a line for each fact.
func (i Inspection) Text() string {
	var b strings.Builder
	line := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", key, fmt.Sprintf(format, args...))
	}
	if i.Plan != nil {
		b.WriteString(strings.TrimRight(i.Plan.Preflight(), "\n") + "\n\n")
	} else {
		line("identity", "%s", i.Identity)
	}
	state := i.State
	if i.Status.ExitCode != nil {
		state = fmt.Sprintf("%s (exited %d at %s)", state, *i.Status.ExitCode, i.Status.Ended.Format("2006-01-02 15:04:05"))
	}
	line("state", "%s", state)
	if i.Status.PID > 0 {
		line("owner", "process %d", i.Status.PID)
	}
	line("directory", "%s", i.Directory)
	machine := i.Machine.State
	if i.Machine.PID > 0 {
		machine += fmt.Sprintf(", process %d", i.Machine.PID)
	}
	line("machine", "%s (%s, %s)", i.Machine.Name, machine, i.Status.VMTool)
	for _, r := range i.Engine {
		running := ""
		if r.Running {
			running = " (running)"
		}
		line(r.Kind, "%s%s", r.Name, running)
	}
	for _, socket := range i.Sockets {
		line("socket", "%s", socket)
	}
	for _, file := range i.Files {
		line("file", "%s, %d bytes", file.Name, file.Size)
	}
	for _, problem := range i.Problems {
		line("problem", "%s", problem)
	}
	return b.String()
}
