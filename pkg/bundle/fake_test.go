package bundle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errInjected = errors.New("injected failure")

// fakeEngine is an engine in memory that insists on the order of calls: attach before
// start, ports only while running, no removal of a network that a running container uses.
type fakeEngine struct {
	t  *testing.T
	mu sync.Mutex

	calls      []string
	failAt     int  // this call fails, counted from 1
	failDone   bool // ... after it was carried out
	answers    []error
	dies       bool // a started bundle ends at once
	networks   map[string]network.Summary
	volumes    map[string]map[string]string // labels by name
	containers map[string]*fakeContainer
	created    []client.ContainerCreateOptions
	execs      map[string][]string
	next       int
	serving    sync.WaitGroup
}

type fakeContainer struct {
	options client.ContainerCreateOptions
	running bool
	streams net.Conn // the engine's end
	port    string
}

func newFake(t *testing.T) *fakeEngine {
	f := &fakeEngine{t: t, networks: map[string]network.Summary{}, volumes: map[string]map[string]string{}, containers: map[string]*fakeContainer{}, execs: map[string][]string{}}
	t.Cleanup(func() {
		for _, c := range f.containers {
			if c.streams != nil {
				_ = c.streams.Close()
			}
		}
		f.serving.Wait()
	})
	return f
}

// call records a call and carries it out, unless it is the one to fail.
func (f *fakeEngine) call(ctx context.Context, name string, effect func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	f.calls = append(f.calls, name)
	failing := len(f.calls) == f.failAt
	if failing && !f.failDone {
		return errInjected
	}
	err := effect()
	if failing {
		return errInjected
	}
	return err
}

func (f *fakeEngine) newID(kind string) string {
	f.next++
	return fmt.Sprintf("%s%d", kind, f.next)
}

func (f *fakeEngine) NetworkCreate(ctx context.Context, name string, o client.NetworkCreateOptions) (r client.NetworkCreateResult, err error) {
	err = f.call(ctx, "network create "+name, func() error {
		if len(f.answers) > 0 {
			answer := f.answers[0]
			f.answers = f.answers[1:]
			return answer
		}
		r.ID = f.newID("net")
		f.networks[r.ID] = network.Summary{Network: network.Network{Name: name, ID: r.ID, Labels: o.Labels}}
		return nil
	})
	return r, err
}

func (f *fakeEngine) NetworkList(ctx context.Context, o client.NetworkListOptions) (r client.NetworkListResult, err error) {
	err = f.call(ctx, "network list", func() error {
		for _, n := range f.networks {
			if matches(o.Filters, n.Name, n.Labels) {
				r.Items = append(r.Items, n)
			}
		}
		return nil
	})
	return r, err
}

func (f *fakeEngine) NetworkRemove(ctx context.Context, id string, _ client.NetworkRemoveOptions) (r client.NetworkRemoveResult, err error) {
	return r, f.call(ctx, "network remove "+id, func() error {
		if _, ok := f.networks[id]; !ok {
			return errdefs.ErrNotFound
		}
		for _, c := range f.containers {
			if c.running && string(c.options.HostConfig.NetworkMode) == id {
				return errdefs.ErrPermissionDenied.WithMessage("network has active endpoints")
			}
		}
		delete(f.networks, id)
		return nil
	})
}

func (f *fakeEngine) VolumeList(ctx context.Context, o client.VolumeListOptions) (r client.VolumeListResult, err error) {
	err = f.call(ctx, "volume list", func() error {
		for name, labels := range f.volumes {
			if matches(o.Filters, name, labels) {
				r.Items = append(r.Items, volume.Volume{Name: name, Labels: labels})
			}
		}
		return nil
	})
	return r, err
}

func (f *fakeEngine) VolumeRemove(ctx context.Context, name string, _ client.VolumeRemoveOptions) (r client.VolumeRemoveResult, err error) {
	return r, f.call(ctx, "volume remove "+name, func() error {
		if _, ok := f.volumes[name]; !ok {
			return errdefs.ErrNotFound
		}
		for _, c := range f.containers {
			for _, mount := range c.options.HostConfig.Mounts {
				if mount.Source == name {
					return errdefs.ErrConflict.WithMessage("volume is in use")
				}
			}
		}
		delete(f.volumes, name)
		return nil
	})
}

// name of a container for the record; ids depend on the history.
func (f *fakeEngine) name(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.containers[id]; ok {
		return c.options.Name
	}
	return id
}

func matches(filters client.Filters, name string, labels map[string]string) bool {
	for wanted := range filters["name"] {
		if !strings.Contains(name, wanted) {
			return false
		}
	}
	for wanted := range filters["label"] {
		key, value, _ := strings.Cut(wanted, "=")
		if labels[key] != value {
			return false
		}
	}
	return true
}

// left is everything that the engine still has.
func (f *fakeEngine) left() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, n := range f.networks {
		names = append(names, "network "+n.Name)
	}
	for _, c := range f.containers {
		names = append(names, "container "+c.options.Name)
	}
	for name := range f.volumes {
		names = append(names, "volume "+name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
