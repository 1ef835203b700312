package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/bundle"
	"bottle.internal/pkg/smolvm"
)

// Leftover is what is left of one bottle that no living process owns.
type Leftover struct {
	Identity string `json:"identity"`
	// State is orphaned or stopped, or gone where only resources are left.
	State  string   `json:"state"`
	Things []string `json:"things"` // for people

	instance bool // the instance goes too
	sockets  []string
	files    []string
}

// FindLeftovers looks for everything of ours that no living process owns; kept bottles are
// among it only with stopped. Warnings are about what is not ours and stays; a problem is a
// place that could not be looked at.
func (a *App) FindLeftovers(ctx context.Context, stopped bool) (leftovers []Leftover, warnings, problems []error) {
	found, warnings := a.deadInstances(stopped)
	add := func(identity, thing string) *Leftover {
		l := found[identity]
		if l == nil {
			l = &Leftover{Identity: identity, State: a.stateNow(identity)}
			if l.State != string(state.Gone) && l.State != string(state.Orphaned) && l.State != string(state.Stopped) {
				return &Leftover{} // somebody owns it
			}
			found[identity] = l
		}
		l.Things = append(l.Things, thing)
		return l
	}
	machines, errs := a.ourMachines(ctx)
	problems = append(problems, errs...)
	for _, m := range machines {
		// The machine of a kept bottle is not left over: it waits.
		if l := found[string(m.id)]; l != nil || a.stateNow(string(m.id)) != string(state.Stopped) {
			add(string(m.id), fmt.Sprintf("machine %s (%s)", m.name, m.state))
		}
	}
	resources, err := a.ourResources(ctx)
	problems = append(problems, err)
	for _, r := range resources {
		add(r.Identity, kindText(r.Kind)+" "+r.Name)
	}
	for dir, id := range a.state.StraySocketDirs() {
		l := add(string(id), "sockets "+dir)
		l.sockets = append(l.sockets, dir)
	}
	for file, id := range a.state.StrayFiles() {
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

func kindText(kind bundle.Kind) string {
	if kind == bundle.KindBundle || kind == bundle.KindEcho {
		return "container"
	}
	return string(kind)
}

// deadInstances are those that go with all of theirs.
func (a *App) deadInstances(stopped bool) (map[string]*Leftover, []error) {
	found := map[string]*Leftover{}
	instances, problems := a.state.List()
	for _, instance := range instances {
		id := string(instance.ID)
		now := a.stateNow(id)
		if now == string(state.Orphaned) || stopped && now == string(state.Stopped) {
			l := &Leftover{Identity: id, State: now, Things: []string{"state " + instance.Dir()}, instance: true}
			if dir := statusOf(instance).SocketDir; dir != "" {
				l.Things = append(l.Things, "sockets "+dir)
			}
			found[id] = l
		}
	}
	return found, problems
}

// stateNow is the state of a bottle by its identity.
func (a *App) stateNow(identity string) string {
	instance, err := a.state.Open(names.Identity(identity))
	if errors.Is(err, state.ErrNotFound) {
		return string(state.Gone)
	}
	if err != nil {
		return "not ours"
	}
	_, now, _ := instance.Look()
	return string(now)
}

// machine is one of ours, with the tool that has it.
type machine struct {
	id     names.Identity
	name   string
	state  smolvm.State
	client *smolvm.Client
}

// ourMachines asks every VM tool that a bottle was started with, and today's. Only what has
// our label and the name that we would have given is ours.
func (a *App) ourMachines(ctx context.Context) (map[string]machine, []error) {
	clients, problems := a.tools(ctx)
	found := map[string]machine{}
	for _, client := range clients {
		all, err := client.List(ctx)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for _, m := range all {
			id, err := names.ParseIdentity(m.Labels[launch.LabelIdentity])
			if err == nil && m.Name == launch.MachineName(id) && m.Labels[launch.LabelOwner] == a.owner() {
				found[m.Name] = machine{id: id, name: m.Name, state: m.State, client: client}
			}
		}
	}
	return found, problems
}

// tools are the VM tools that may have machines of ours, today's last.
func (a *App) tools(ctx context.Context) (clients []*smolvm.Client, problems []error) {
	known := map[string]bool{}
	now, err := a.vmTool(ctx)
	if err == nil {
		known[now.Tool().Path] = true
	} else {
		problems = append(problems, err)
	}
	instances, _ := a.state.List()
	for _, instance := range instances {
		status := statusOf(instance)
		if status.VMPath == "" || known[status.VMPath] {
			continue
		}
		known[status.VMPath] = true
		// One that is gone was replaced by today's.
		if client, err := a.clientOf(ctx, status); err == nil {
			clients = append(clients, client)
		}
	}
	if now != nil {
		clients = append(clients, now)
	}
	return clients, problems
}

func (a *App) ourResources(ctx context.Context) ([]bundle.Resource, error) {
	engine, err := a.engine(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	found, err := bundle.List(ctx, engine, a.owner())
	return found, engineProblem(err)
}

// Cleanup removes a leftover, if it still is one. It reports whether there was something
// to do: somebody else may have been faster, or have taken the bottle up again.
func (a *App) Cleanup(ctx context.Context, l Leftover) (done bool, err error) {
	id, err := names.ParseIdentity(l.Identity)
	if err != nil {
		return false, err
	}
	instance, err := a.state.Open(id)
	if errors.Is(err, state.ErrNotFound) {
		return true, a.removeRest(ctx, id, l)
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
	kept := statusOf(instance).Phase == state.Stopped
	switch {
	case l.instance && kept == (l.State == string(state.Stopped)):
		return true, errors.Join(a.removeDead(ctx, instance), a.removeSockets(l))
	case !l.instance && kept: // its machine stays
		return true, errors.Join(a.removeBundle(ctx, id), a.removeSockets(l))
	}
	return false, nil
}

// removeRest removes what has no instance any more. Nobody can make one of that identity:
// they are drawn by chance, and never twice.
func (a *App) removeRest(ctx context.Context, id names.Identity, l Leftover) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	machines, problems := a.ourMachines(ctx)
	if m, ok := machines[launch.MachineName(id)]; ok {
		problems = append(problems, m.client.Delete(ctx, m.name))
	}
	err := errors.Join(append(problems, a.removeBundle(ctx, id), a.removeSockets(l))...)
	if err != nil {
		return fmt.Errorf("removing what is left of %s: %w", id, err)
	}
	return nil
}

func (a *App) removeSockets(l Leftover) error {
	var problems []error
	for _, dir := range l.sockets {
		problems = append(problems, a.state.RemoveSocketDir(dir))
	}
	for _, file := range l.files {
		problems = append(problems, a.state.RemoveStrayFile(file))
	}
	return errors.Join(problems...)
}

// Text is one leftover for a person.
func (l Leftover) Text() string {
	return fmt.Sprintf("%s (%s)\n  %s\n", l.Identity, l.State, strings.Join(l.Things, "\n  "))
}
