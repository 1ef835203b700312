//go:build integration

package chain

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bottle.internal/pkg/bundle"
	"bottle.internal/tests/integration/rig"
)

// owner is on everything that this package makes in the engine.
const owner = "bottle-chain-test"

// shared is made with the first test that asks.
var shared struct {
	once     sync.Once
	engine   *client.Client
	image    string // the bundle's own
	watched  string // the same with programs that look around
	stranger string // path of the stranger on this host
	skip     error
	close    []func() error
}

func TestMain(m *testing.M) {
	unlock := lock()
	code := m.Run()
	for _, undo := range slices.Backward(shared.close) {
		if err := undo(); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: cleaning up:", err)
			code = max(code, 1)
		}
	}
	unlock()
	os.Exit(code)
}

// lock keeps two runs on one machine from reaping each other.
func lock() (unlock func()) {
	file, err := os.OpenFile(filepath.Join(os.TempDir(), owner+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	return func() { _ = file.Close() }
}

// setup makes the images once. Without an engine the test is skipped, unless
// BOTTLE_REQUIRE names docker.
func setup(t *testing.T) *client.Client {
	t.Helper()
	shared.once.Do(func() { shared.skip = prepare(context.Background()) })
	if shared.skip == nil {
		return shared.engine
	}
	if what, _, _ := strings.Cut(shared.skip.Error(), ":"); what == "test" || rig.Required(what) {
		t.Fatal(shared.skip)
	}
	t.Skip(shared.skip)
	return nil
}

// prepare's errors begin with what is missing: docker, or test for a mistake.
func prepare(ctx context.Context) error {
	reached, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	engine, err := bundle.Connect(reached, "")
	if err != nil {
		return fmt.Errorf("docker: %w", err)
	}
	shared.engine = engine
	shared.close = append(shared.close, engine.Close)
	if err := reap(ctx, engine); err != nil {
		return fmt.Errorf("test: what an earlier run left: %w", err)
	}
	shared.close = append(shared.close, func() error { return nothingLeft(ctx, engine) })
	if err := makeImages(ctx, engine); err != nil {
		return fmt.Errorf("test: %w", err)
	}
	return nil
}

func ours() client.Filters { return make(client.Filters).Add("label", bundle.LabelOwner+"="+owner) }

// left lists what of this package is in the engine, containers first.
func left(ctx context.Context, engine *client.Client) ([][2]string, error) {
	var found [][2]string
	containers, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours()})
	if err != nil {
		return nil, err
	}
	for _, item := range containers.Items {
		found = append(found, [2]string{"container", item.ID})
	}
	networks, err := engine.NetworkList(ctx, client.NetworkListOptions{Filters: ours()})
	if err != nil {
		return nil, err
	}
	for _, item := range networks.Items {
		found = append(found, [2]string{"network", item.ID})
	}
	volumes, err := engine.VolumeList(ctx, client.VolumeListOptions{Filters: ours()})
	if err != nil {
		return nil, err
	}
	for _, item := range volumes.Items {
		found = append(found, [2]string{"volume", item.Name})
	}
	return found, nil
}

func reap(ctx context.Context, engine *client.Client) error {
	found, err := left(ctx, engine)
	for _, item := range found {
		switch kind, id := item[0], item[1]; kind {
		case "container":
			_, err = engine.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		case "network":
			_, err = engine.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
		case "volume":
			_, err = engine.VolumeRemove(ctx, id, client.VolumeRemoveOptions{Force: true})
		}
		if err != nil {
			return err
		}
	}
	return err
}

// nothingLeft is the last word of a run; what it finds is removed, but a failure.
func nothingLeft(ctx context.Context, engine *client.Client) error {
	found, err := left(ctx, engine)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("left at the end: %s", found)
	}
	if reapErr := reap(ctx, engine); err == nil {
		err = reapErr
	}
	return err
}
