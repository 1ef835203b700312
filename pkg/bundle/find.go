package bundle

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/moby/client"
)

// ErrNoBundle means that no bundle of that identity runs.
var ErrNoBundle = errors.New("no such bundle runs")

// Running is a bundle that another process owns: it can be asked, and not closed.
type Running struct {
	bundle *Bundle
	gate   string
}

// Find looks for the running bundle of owner's bottle.
func Find(ctx context.Context, engine Engine, owner, identity string) (*Running, error) {
	found, err := List(ctx, engine, owner)
	if err != nil {
		return nil, err
	}
	for _, resource := range found {
		if resource.Kind != KindBundle || resource.Identity != identity || !resource.Running {
			continue
		}
		b := &Bundle{engine: engine, spec: Spec{Identity: identity, Owner: owner}.withDefaults(), containerID: resource.ID}
		result, err := engine.ContainerInspect(ctx, resource.ID, client.ContainerInspectOptions{})
		if err != nil {
			return nil, fmt.Errorf("inspecting bundle %s: %w", identity, explain(err))
		}
		return &Running{bundle: b, gate: b.spec.published(result.Container)}, nil
	}
	return nil, fmt.Errorf("looking for bundle %s: %w", identity, ErrNoBundle)
}

// Gate is the gate's address on the host, or "".
func (r *Running) Gate() string { return r.gate }

// Dial is [Bundle.Dial].
func (r *Running) Dial(ctx context.Context, targets ...string) []error {
	return r.bundle.Dial(ctx, targets...)
}
