//go:build integration

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/client"

	"bottle.internal/tests/integration/rig"
)

// prefix begins the name of every agent here, so that leftovers can be told from the
// bottles of the person whose machine this is.
const prefix = "it-"

// world is what the tests of this package share.
type world struct {
	*rig.Rig
	engine   *client.Client
	manifest string
	probe    string // the static program of testdata/probe
}

var shared struct {
	once  sync.Once
	world *world
	skip  error
	live  func() *live // the bottle that the probes use
	close []func() error
}

func TestMain(m *testing.M) {
	rig.UseTestcontainers()
	unlock, err := rig.Lock("bottle-integration")
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
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

// setup builds everything once. Without Docker or a VM the test is skipped, unless
// BOTTLE_REQUIRE names what is missing.
func setup(t *testing.T) *world {
	t.Helper()
	shared.once.Do(func() { shared.world, shared.skip = newWorld() })
	if shared.skip != nil {
		what, _, _ := strings.Cut(shared.skip.Error(), ":")
		if rig.Required(what) || what == "test" {
			t.Fatal(shared.skip)
		}
		t.Skip(shared.skip)
	}
	if shared.world == nil {
		t.Fatal("the setup failed in an earlier test")
	}
	return shared.world
}

// newWorld's errors begin with what is missing: docker, vm, or test for a mistake.
func newWorld() (*world, error) {
	ctx := context.Background()
	engine, err := rig.Engine(ctx)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	shared.close = append(shared.close, engine.Close)
	if err := rig.NeedVM(); err != nil {
		return nil, fmt.Errorf("vm: %w", err)
	}
	r, err := rig.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("test: %w", err)
	}
	shared.close = append(shared.close, r.Close)
	w := &world{Rig: r, engine: engine, manifest: filepath.Join(r.Dir, "m.toml"), probe: filepath.Join(r.Dir, "x", "probe")}
	w.Env = rig.Set(w.Env, "BOTTLE_MANIFEST="+w.manifest, secretName+"="+secretValue, routeTokenName+"="+routeToken)
	if err := os.WriteFile(w.manifest, []byte(manifest), 0o600); err != nil {
		return nil, fmt.Errorf("test: %w", err)
	}
	if err := w.Build(ctx, rig.ProbeProgram, w.probe); err != nil {
		return nil, fmt.Errorf("test: %w", err)
	}
	if err := w.reap(ctx); err != nil {
		return nil, fmt.Errorf("test: reaping what an earlier run left: %w", err)
	}
	shared.close = append(shared.close, func() error { return w.nothingLeft(ctx) })
	shared.live = sync.OnceValue(func() *live { return startShared(w) })
	return w, nil
}

// reap goes by our labels and by the name of our agents.
func (w *world) reap(ctx context.Context) error {
	if err := w.Reap(ctx, w.engine, prefix); err != nil {
		return err
	}
	terms := make(client.Filters).Add("label", testLabel)
	list, err := w.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: terms})
	if err != nil {
		return err
	}
	for _, item := range list.Items {
		if _, err := w.engine.ContainerRemove(ctx, item.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
			return err
		}
	}
	return nil
}

// nothingLeft is the last word of a run; what it finds is removed, but a failure.
func (w *world) nothingLeft(ctx context.Context) error {
	left, err := w.Left(ctx, w.engine, prefix)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("left at the end:\n%s", strings.Join(left, "\n"))
	}
	if reapErr := w.reap(ctx); err == nil {
		err = reapErr
	}
	return err
}

// noneLeft fails with what bottles of an agent left behind.
func (w *world) noneLeft(t *testing.T, agent string) {
	t.Helper()
	left, err := w.Left(t.Context(), w.engine, agent+"-")
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}
