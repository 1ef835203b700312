//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	engine *client.Client
	probe  string // the static program of testdata/probe
}

var shared struct {
	rig.Shared
	world *world
	live  func() *live // the bottle that the probes use
}

func TestMain(m *testing.M) {
	rig.UseTestcontainers()
	os.Exit(rig.Main(m, "bottle-integration", shared.Undo))
}

// setup builds everything once.
func setup(t *testing.T) *world {
	t.Helper()
	shared.Need(t, func(ctx context.Context) (err error) {
		shared.world, err = newWorld(ctx)
		return err
	})
	return shared.world
}

// newWorld's errors begin with what is missing: docker, vm, or test for a mistake.
func newWorld(ctx context.Context) (*world, error) {
	engine, err := rig.Engine(ctx)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	shared.Later(engine.Close)
	if err := rig.NeedVM(); err != nil {
		return nil, fmt.Errorf("vm: %w", err)
	}
	r, err := rig.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("test: %w", err)
	}
	shared.Later(r.Close)
	w := &world{Rig: r, engine: engine, probe: filepath.Join(r.Dir, "x", "probe")}
	if err := w.UseManifest(manifest, secretName+"="+secretValue, routeTokenName+"="+routeToken); err != nil {
		return nil, fmt.Errorf("test: %w", err)
	}
	if err := w.Build(ctx, rig.ProbeProgram, w.probe); err != nil {
		return nil, fmt.Errorf("test: %w", err)
	}
	if err := w.reap(ctx); err != nil {
		return nil, fmt.Errorf("test: reaping what an earlier run left: %w", err)
	}
	shared.Later(func() error { return w.nothingLeft(ctx) })
	shared.live = sync.OnceValue(func() *live { return startShared(w) })
	return w, nil
}

// reap goes by our labels and by the name of our agents.
func (w *world) reap(ctx context.Context) error {
	return errors.Join(w.Reap(ctx, w.engine, prefix), rig.RemoveLabelled(ctx, w.engine, testLabel))
}

// nothingLeft is the last word of a run; what it finds is removed, but a failure.
func (w *world) nothingLeft(ctx context.Context) error {
	left, err := w.Left(ctx, w.engine, prefix)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("left at the end:\n%s", strings.Join(left, "\n"))
	}
	return errors.Join(err, w.reap(ctx))
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
