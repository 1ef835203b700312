//go:build integration

package agents

import (
	"context"
	"os"
	"testing"

	"github.com/moby/moby/client"

	"bottle.internal/internal/imagebuild/npm"
	"bottle.internal/tests/integration/rig"
)

// world is a place to run bottles from, for one test.
type world struct {
	*rig.Rig
	engine *client.Client
}

// newWorld skips without Docker or a VM, unless BOTTLE_REQUIRE names what is missing.
func newWorld(t *testing.T) *world {
	t.Helper()
	rig.Need(t, "npm", registry(t.Context()))
	r, engine := rig.ForTest(t, true)
	w := &world{Rig: r, engine: engine}
	if err := r.Reap(t.Context(), engine, prefix); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Reap(context.WithoutCancel(t.Context()), engine, prefix) })
	return w
}

// registry says why no agent program can be had here.
func registry(ctx context.Context) error {
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	settings, err := npm.Load(ctx, npm.Host{Env: os.Environ(), Dir: ".", Home: home})
	if err != nil {
		return err
	}
	_, err = settings.Registry("@anthropic-ai/claude-code-linux-x64")
	return err
}

// succeeds runs bottle and reports whether it succeeds.
func (w *world) succeeds(ctx context.Context, t *testing.T, args ...string) bool {
	t.Helper()
	result, err := w.Run(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	if result.Code != 0 {
		t.Log(result)
	}
	return result.Code == 0
}
