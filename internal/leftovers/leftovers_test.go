package leftovers_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/leftovers"
	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/bundle"
	"bottle.internal/pkg/smolvm"
)

// host is a state directory with one VM tool and one engine.
type host struct {
	leftovers.Sweeper
	t        *testing.T
	machines map[string]smolvm.Machine
	things   []bundle.Resource
	down     error // of the engine
}

func newHost(t *testing.T) *host {
	t.Helper()
	root, err := state.OpenRoot(filepath.Join(t.TempDir(), "bottle"))
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, machines: map[string]smolvm.Machine{}}
	h.Sweeper = leftovers.Sweeper{State: root, Tools: tools{h}, Engine: engine{h}}
	return h
}

// has gives a bottle a machine and a container.
func (h *host) has(id names.Identity, owner string) {
	name := launch.MachineName(id)
	h.machines[name] = smolvm.Machine{Name: name, State: smolvm.StateRunning, Labels: map[string]string{launch.LabelIdentity: string(id), launch.LabelOwner: owner}}
	h.things = append(h.things, bundle.Resource{Kind: bundle.KindBundle, Name: name, Identity: string(id)})
}

func (h *host) bottle(id names.Identity, phase state.Phase) *state.Instance {
	h.t.Helper()
	instance, err := h.State.Create(id)
	if err == nil {
		err = instance.WriteStatus(state.Status{Identity: id, Agent: id.Agent(), Phase: phase, PID: 1})
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(instance.Unlock)
	h.has(id, h.State.Owner())
	return instance
}

// left is all that is there, as a line.
func (h *host) left() string {
	h.t.Helper()
	all := slices.Sorted(maps.Keys(h.machines))
	for _, thing := range h.things {
		all = append(all, "container of "+thing.Identity)
	}
	instances, problems := h.State.List()
	for _, instance := range instances {
		all = append(all, "state of "+string(instance.ID))
	}
	if len(problems) > 0 {
		h.t.Error(problems)
	}
	return strings.Join(all, ", ")
}

func (h *host) find(stopped bool) (found []leftovers.Leftover, text string) {
	found, warnings, problems := h.Find(h.t.Context(), stopped)
	for _, l := range found {
		text += strings.ReplaceAll(l.Text(), h.State.Dir(), "STATE")
	}
	for _, err := range slices.Concat(warnings, problems) {
		text += err.Error() + "\n"
	}
	return found, text
}

type tools struct{ *host }

func (t tools) Today(context.Context) (leftovers.Tool, error)            { return tool(t), nil }
func (t tools) Of(context.Context, state.Status) (leftovers.Tool, error) { return tool(t), nil }

type tool struct{ *host }

func (t tool) Tool() smolvm.Tool { return smolvm.Tool{Path: "/smolvm"} }

func (t tool) List(context.Context) ([]smolvm.Machine, error) {
	return slices.Collect(maps.Values(t.machines)), nil
}

func (t tool) Status(_ context.Context, name string) (smolvm.Machine, error) {
	if m, ok := t.machines[name]; ok {
		return m, nil
	}
	return smolvm.Machine{}, smolvm.ErrNotFound
}

func (t tool) Stop(_ context.Context, name string) error {
	m := t.machines[name]
	m.State = smolvm.StateStopped
	t.machines[name] = m
	return nil
}

func (t tool) Delete(_ context.Context, name string) error {
	delete(t.machines, name)
	return nil
}

type engine struct{ *host }

func (e engine) List(context.Context) ([]bundle.Resource, error) { return e.things, e.down }

func (e engine) Remove(_ context.Context, id names.Identity) error {
	if e.down == nil {
		e.things = slices.DeleteFunc(e.things, func(r bundle.Resource) bool { return r.Identity == string(id) })
	}
	return e.down
}

// crowd has one bottle of each kind, and what another state directory has.
func crowd(t *testing.T) *host {
	t.Helper()
	h := newHost(t)
	h.bottle("dead-aaaaa", state.Running).Unlock()
	h.bottle("kept-aaaaa", state.Stopped).Unlock()
	h.bottle("live-aaaaa", state.Running)
	h.has("gone-aaaaa", h.State.Owner())
	h.machines["bottle-other-aaaaa"] = smolvm.Machine{Name: "bottle-other-aaaaa", Labels: map[string]string{launch.LabelIdentity: "other-aaaaa", launch.LabelOwner: "another"}}
	h.machines["mine"] = smolvm.Machine{Name: "mine", Labels: map[string]string{launch.LabelIdentity: "mine-aaaaa", launch.LabelOwner: h.State.Owner()}}
	return h
}

const (
	dead = "dead-aaaaa (orphaned)\n  container bottle-dead-aaaaa\n  machine bottle-dead-aaaaa (running)\n  state STATE/dead-aaaaa\n"
	gone = "gone-aaaaa (gone)\n  container bottle-gone-aaaaa\n  machine bottle-gone-aaaaa (running)\n"
)

func TestWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		stopped    bool
		want, left string
	}{
		{false, dead + gone + "kept-aaaaa (stopped)\n  container bottle-kept-aaaaa\n", "bottle-kept-aaaaa, bottle-live-aaaaa, bottle-other-aaaaa, mine, container of live-aaaaa, state of kept-aaaaa, state of live-aaaaa"},
		{true, dead + gone + "kept-aaaaa (stopped)\n  container bottle-kept-aaaaa\n  machine bottle-kept-aaaaa (running)\n  state STATE/kept-aaaaa\n", "bottle-live-aaaaa, bottle-other-aaaaa, mine, container of live-aaaaa, state of live-aaaaa"},
	} {
		h := crowd(t)
		found, text := h.find(test.stopped)
		if text != test.want {
			t.Errorf("stopped %v: found\n%swant\n%s", test.stopped, text, test.want)
		}
		for _, l := range found {
			if done, err := h.Remove(t.Context(), l); !done || err != nil {
				t.Errorf("removing %s: %v, %v", l.Identity, done, err)
			}
		}
		if left := h.left(); left != test.left {
			t.Errorf("stopped %v: left %s\nwant %s", test.stopped, left, test.left)
		}
		if found, text := h.find(test.stopped); len(found) > 0 {
			t.Errorf("found again: %s", text)
		}
	}
}

// Somebody may have taken a bottle up, or kept it, since it was found.
func TestALeftoverThatIsNoneAnyMore(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*state.Instance) error{
		"owned": func(*state.Instance) error { return nil },
		"stopped": func(i *state.Instance) error {
			defer i.Unlock()
			return i.WriteStatus(state.Status{Identity: i.ID, Phase: state.Stopped})
		},
	} {
		h := newHost(t)
		instance := h.bottle("demo-aaaaa", state.Running)
		instance.Unlock()
		found, _ := h.find(false)
		before := h.left()
		if err := errors.Join(instance.Lock(), change(instance)); err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if done, err := h.Remove(t.Context(), found[0]); done || err != nil || h.left() != before {
			t.Errorf("%s: %v, %v, left %s", name, done, err, h.left())
		}
	}
}

// What cannot be removed today is found again tomorrow.
func TestTheDirectoryGoesLast(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.bottle("demo-aaaaa", state.Running).Unlock()
	found, _ := h.find(false)
	h.down = errors.New("the engine is down")
	_, err := h.Remove(t.Context(), found[0])
	if leftover := (*launch.LeftoverError)(nil); !errors.As(err, &leftover) || !errors.Is(err, h.down) {
		t.Errorf("Remove = %v", err)
	}
	if _, text := h.find(false); text != fmt.Sprintf("demo-aaaaa (orphaned)\n  container bottle-demo-aaaaa\n  state STATE/demo-aaaaa\n%v\n", h.down) {
		t.Errorf("found %s", text)
	}
	h.down = nil
	if done, err := h.Remove(t.Context(), found[0]); !done || err != nil || h.left() != "" {
		t.Errorf("%v, %v, left %s", done, err, h.left())
	}
}

func TestKeepDead(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	instance := h.bottle("demo-aaaaa", state.Running)
	if err := h.KeepDead(t.Context(), instance); err != nil {
		t.Fatal(err)
	}
	status, err := instance.Status()
	if err != nil || status.Phase != state.Stopped || status.PID != 0 || h.left() != "bottle-demo-aaaaa, state of demo-aaaaa" || !h.machines["bottle-demo-aaaaa"].Dead() {
		t.Errorf("%+v, %v, left %s", status, err, h.left())
	}
}
