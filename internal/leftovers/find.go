package leftovers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

// Leftover is what is left of one bottle that no living process owns.
type Leftover struct {
	Identity string `json:"identity"`
	// State is orphaned or stopped, or gone where only resources are left.
	State  state.Phase `json:"state"`
	Things []string    `json:"things"` // for people

	instance bool // the instance goes too
	sockets  []string
	files    []string
}

// Text is one leftover for a person.
func (l Leftover) Text() string {
	return fmt.Sprintf("%s (%s)\n  %s\n", l.Identity, l.State, strings.Join(l.Things, "\n  "))
}

// Find looks for everything of ours that no living process owns; kept bottles are among it
// only with stopped. Warnings are about what is not ours and stays; a problem is a
// place that could not be looked at.
func (s Sweeper) Find(ctx context.Context, stopped bool) (leftovers []Leftover, warnings, problems []error) {
	found, warnings := s.deadInstances(stopped)
	add := func(identity, thing string) *Leftover {
		l := found[identity]
		if l == nil {
			l = &Leftover{Identity: identity, State: s.stateNow(identity)}
			if l.State != state.Gone && l.State != state.Orphaned && l.State != state.Stopped {
				return &Leftover{} // somebody owns it
			}
			found[identity] = l
		}
		l.Things = append(l.Things, thing)
		return l
	}
	machines, errs := s.ourMachines(ctx)
	problems = append(problems, errs...)
	for _, m := range machines {
		// The machine of a kept bottle is not left over: it waits.
		if l := found[string(m.id)]; l != nil || s.stateNow(string(m.id)) != state.Stopped {
			add(string(m.id), fmt.Sprintf("machine %s (%s)", m.name, m.state))
		}
	}
	resources, err := s.Engine.List(ctx)
	problems = append(problems, err)
	for _, r := range resources {
		add(r.Identity, r.Kind.Thing()+" "+r.Name)
	}
	for dir, id := range s.State.StraySocketDirs() {
		l := add(string(id), "sockets "+dir)
		l.sockets = append(l.sockets, dir)
	}
	for file, id := range s.State.StrayFiles() {
		l := add(string(id), "file "+file)
		l.files = append(l.files, file)
	}
	leftovers = make([]Leftover, 0, len(found))
	for _, l := range found {
		slices.Sort(l.Things)
		leftovers = append(leftovers, *l)
	}
	slices.SortFunc(leftovers, func(x, y Leftover) int { return cmp.Compare(x.Identity, y.Identity) })
	return leftovers, warnings, slices.DeleteFunc(problems, func(err error) bool { return err == nil })
}

// deadInstances are those that go with all of theirs.
func (s Sweeper) deadInstances(stopped bool) (map[string]*Leftover, []error) {
	found := map[string]*Leftover{}
	instances, problems := s.State.List()
	for _, instance := range instances {
		id := string(instance.ID)
		now := s.stateNow(id)
		if now == state.Orphaned || stopped && now == state.Stopped {
			l := &Leftover{Identity: id, State: now, Things: []string{"state " + instance.Dir()}, instance: true}
			if dir := launch.StatusOf(instance).SocketDir; dir != "" {
				l.Things = append(l.Things, "sockets "+dir)
			}
			found[id] = l
		}
	}
	return found, problems
}

// stateNow is the state of a bottle by its identity.
func (s Sweeper) stateNow(identity string) state.Phase {
	instance, err := s.State.Open(names.Identity(identity))
	if errors.Is(err, state.ErrNotFound) {
		return state.Gone
	}
	if err != nil {
		return "not ours"
	}
	_, now, _ := instance.Look()
	return now
}

// machine is one of ours, with the tool that has it.
type machine struct {
	id    names.Identity
	name  string
	state smolvm.State
	tool  Tool
}

// ourMachines asks every VM tool that a bottle was started with, and today's. Only what has
// our label and the name that we would have given is ours.
func (s Sweeper) ourMachines(ctx context.Context) (map[string]machine, []error) {
	tools, problems := s.tools(ctx)
	found := map[string]machine{}
	for _, tool := range tools {
		all, err := tool.List(ctx)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for _, m := range all {
			id, err := names.ParseIdentity(m.Labels[launch.LabelIdentity])
			if err == nil && m.Name == launch.MachineName(id) && m.Labels[launch.LabelOwner] == s.State.Owner() {
				found[m.Name] = machine{id: id, name: m.Name, state: m.State, tool: tool}
			}
		}
	}
	return found, problems
}

// tools are the VM tools that may have machines of ours, today's last.
func (s Sweeper) tools(ctx context.Context) (tools []Tool, problems []error) {
	known := map[string]bool{}
	now, err := s.Tools.Today(ctx)
	if err == nil {
		known[now.Tool().Path] = true
	} else {
		problems = append(problems, err)
	}
	instances, _ := s.State.List()
	for _, instance := range instances {
		status := launch.StatusOf(instance)
		if status.VMPath == "" || known[status.VMPath] {
			continue
		}
		known[status.VMPath] = true
		// One that is gone was replaced by today's.
		if tool, err := s.Tools.Of(ctx, status); err == nil {
			tools = append(tools, tool)
		}
	}
	if now != nil {
		tools = append(tools, now)
	}
	return tools, problems
}
