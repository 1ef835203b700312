package bundle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

// strew puts things into the engine that look like ours to different degrees.
func strew(f *fakeEngine) {
	label := func(owner, identity string, kind Kind) map[string]string {
		return map[string]string{LabelOwner: owner, LabelIdentity: identity, LabelKind: string(kind)}
	}
	put := func(name string, labels map[string]string) {
		f.containers["id-"+name] = &fakeContainer{running: true, options: client.ContainerCreateOptions{
			Name: name, Config: &container.Config{Labels: labels}, HostConfig: &container.HostConfig{},
		}}
	}
	net := func(name string, labels map[string]string) {
		f.networks["id-net-"+name] = network.Summary{Network: network.Network{ID: "id-net-" + name, Name: name, Labels: labels}}
	}
	put("bottle-demo-x7k2p", label("me", "demo-x7k2p", KindBundle))
	put("bottle-demo-x7k2p-echo", label("me", "demo-x7k2p", KindEcho))
	net("bottle-demo-x7k2p", label("me", "demo-x7k2p", KindNetwork))
	net("bottle-demo-00000", label("me", "demo-00000", KindNetwork))
	f.volumes["bottle-demo-00000-volume"] = label("me", "demo-00000", KindVolume)

	put("bottle-demo-aaaaa", label("you", "demo-aaaaa", KindBundle)) // another owner
	put("bottle-demo-bbbbb", nil)                                    // no labels
	put("postgres", label("me", "demo-ccccc", KindBundle))           // another name
	put("bottle-../../etc-xxxxx", label("me", "../../etc-xxxxx", KindBundle))
	put("bottle-demo-ddddd", label("me", "demo-ddddd", KindNetwork)) // a container that says network
	put("bottle-demo-eeeee", label("me", "demo-eeeee", "database"))
	f.volumes["bottle-demo-hhhhh-volume"] = label("you", "demo-hhhhh", KindVolume)
	f.volumes["data"] = label("me", "demo-iiiii", KindVolume)
	net("bridge", label("me", "demo-fffff", KindNetwork))
	net("bottle-demo-ggggg", map[string]string{LabelOwner: "me"})
}

func TestList(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	strew(f)
	found, err := List(t.Context(), f, "me")
	var got []string
	for _, r := range found {
		got = append(got, fmt.Sprint(r.Kind, " ", r.Name, " ", r.Identity, " ", r.Running))
	}
	slices.Sort(got)
	want := "bundle bottle-demo-x7k2p demo-x7k2p true; echo bottle-demo-x7k2p-echo demo-x7k2p true; " +
		"network bottle-demo-00000 demo-00000 false; network bottle-demo-x7k2p demo-x7k2p false; volume bottle-demo-00000-volume demo-00000 false"
	if strings.Join(got, "; ") != want || err != nil {
		t.Errorf("List = %s, %v", strings.Join(got, "; "), err)
	}
}

func TestRemoveTouchesItsOwnAlone(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	strew(f)
	before := strings.Split(f.left(), ", ")
	for range 2 {
		if err := Remove(t.Context(), f, "me", "demo-x7k2p"); err != nil {
			t.Fatal(err)
		}
	}
	after := strings.Split(f.left(), ", ")
	gone := slices.DeleteFunc(before, func(name string) bool { return slices.Contains(after, name) })
	if got := strings.Join(gone, ", "); got != "container bottle-demo-x7k2p, container bottle-demo-x7k2p-echo, network bottle-demo-x7k2p" {
		t.Errorf("removed: %s", got)
	}
}

// slowEngine is still busy with removals that nobody waited for.
type slowEngine struct {
	*fakeEngine
	busy int // how often it says so
}

func (e *slowEngine) ContainerRemove(ctx context.Context, id string, o client.ContainerRemoveOptions) (r client.ContainerRemoveResult, err error) {
	if e.busy > 0 {
		e.busy--
		return r, fmt.Errorf("%w: removal of container %s is already in progress", errdefs.ErrConflict, id)
	}
	return e.fakeEngine.ContainerRemove(ctx, id, o)
}

// The second try after a teardown that ran out of time must not fail because the engine
// has not finished the first.
func TestRemovalUnderWayIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := &slowEngine{fakeEngine: newFake(t), busy: 3}
	strew(f.fakeEngine)
	if err := Remove(t.Context(), f, "me", "demo-x7k2p"); err != nil || f.busy > 0 || strings.Contains(f.left(), "demo-x7k2p") {
		t.Errorf("Remove = %v; left: %s", err, f.left())
	}
	strew(f.fakeEngine)
	f.busy = 1 << 30
	ctx, cancel := context.WithTimeout(t.Context(), removalPause/2)
	defer cancel()
	if err := Remove(ctx, f, "me", "demo-x7k2p"); err == nil || !strings.Contains(err.Error(), "removing container id-bottle-de: conflict: removal of container id-bottle-demo-x7k2p is already in progress") {
		t.Errorf("Remove of what never ends = %v", err)
	}
}

func TestCleanupRefusesBadNames(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for _, test := range []struct{ owner, identity, want string }{
		{"me", "", `removing a bundle: identity "": it looks like demo-x7k2p`},
		{"me", "demo", `removing a bundle: identity "demo": it looks like demo-x7k2p`},
		{"me", "demo-x7k2p\n", `removing a bundle: identity "demo-x7k2p\n": it looks like demo-x7k2p`},
		{"", "demo-x7k2p", `listing bundles: owner "": 1 to 64 letters, digits, dots, dashes`},
		{"a=b", "demo-x7k2p", `listing bundles: owner "a=b": 1 to 64 letters, digits, dots, dashes`},
	} {
		if err := Remove(t.Context(), f, test.owner, test.identity); fmt.Sprint(err) != test.want {
			t.Errorf("Remove(%q, %q) = %v", test.owner, test.identity, err)
		}
	}
	if len(f.calls) > 0 {
		t.Errorf("calls %q", f.calls)
	}
}

// The engine's filter is asked, but not believed.
func TestParse(t *testing.T) {
	t.Parallel()
	by := filter{label: labelRun, value: "RUN", owner: "me"}
	good := map[string]string{labelRun: "RUN", LabelOwner: "me", LabelIdentity: "demo-x7k2p", LabelKind: "bundle"}
	if _, ok := parse(good, by, "bottle-demo-x7k2p"); !ok {
		t.Fatal("our own is not ours")
	}
	for _, change := range [][2]string{{labelRun, "OTHER"}, {LabelOwner, "you"}, {LabelIdentity, "demo"}, {LabelKind, "echo"}} {
		labels := maps.Clone(good)
		labels[change[0]] = change[1]
		if got, ok := parse(labels, by, "bottle-demo-x7k2p"); ok {
			t.Errorf("with %q: %+v", change, got)
		}
	}
	bad := maps.Clone(good)
	bad[LabelIdentity] = "../x"
	if got, ok := parse(bad, by, "bottle-../x"); ok {
		t.Errorf("of no identity: %+v", got)
	}
}
