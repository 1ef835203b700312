//go:build integration

package chain

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	rig.Shared
	engine   *client.Client
	image    string // the bundle's own
	watched  string // the same with programs that look around
	stranger string // path of the stranger on this host
}

func TestMain(m *testing.M) { os.Exit(rig.Main(m, owner, shared.Undo)) }

// setup makes the images once.
func setup(t *testing.T) *client.Client {
	t.Helper()
	shared.Need(t, prepare)
	return shared.engine
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
	shared.Later(engine.Close)
	if err := rig.RemoveLabelled(ctx, engine, ours); err != nil {
		return fmt.Errorf("test: what an earlier run left: %w", err)
	}
	shared.Later(func() error { return nothingLeft(ctx, engine) })
	if err := makeImages(ctx, engine); err != nil {
		return fmt.Errorf("test: %w", err)
	}
	return nil
}

const ours = bundle.LabelOwner + "=" + owner

// nothingLeft is the last word of a run; what it finds is removed, but a failure.
func nothingLeft(ctx context.Context, engine *client.Client) error {
	found, err := rig.Labelled(ctx, engine, ours)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("left at the end: %s", found)
	}
	return errors.Join(err, rig.RemoveLabelled(ctx, engine, ours))
}
