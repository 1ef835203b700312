package app

import (
	"context"

	"bottle.internal/internal/leftovers"
	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/bundle"
)

// FindLeftovers looks for everything of ours that no living process owns, as
// [leftovers.Sweeper.Find] does.
func (a *App) FindLeftovers(ctx context.Context, stopped bool) (found []leftovers.Leftover, warnings, problems []error) {
	return a.leftovers().Find(ctx, stopped)
}

// Cleanup removes a leftover, if it still is one, and reports whether there was something
// to do.
func (a *App) Cleanup(ctx context.Context, l leftovers.Leftover) (done bool, err error) {
	return a.leftovers().Remove(ctx, l)
}

func (a *App) leftovers() leftovers.Sweeper {
	return leftovers.Sweeper{State: a.state, Tools: vmTools{a}, Engine: a.resources(), Observe: a.config.Observe}
}

// vmTools are the VM tools that have or had machines of ours.
type vmTools struct{ app *App }

func (v vmTools) Today(ctx context.Context) (leftovers.Tool, error) {
	client, err := v.app.vmTool(ctx)
	if err != nil {
		return nil, err // a nil client would be a tool
	}
	return client, nil
}

func (v vmTools) Of(ctx context.Context, status state.Status) (leftovers.Tool, error) {
	client, err := v.app.clientOf(ctx, status)
	if err != nil {
		return nil, err
	}
	return client, nil
}

// resources are what the engine has of ours.
type resources struct{ app *App }

func (a *App) resources() resources { return resources{a} }

func (r resources) List(ctx context.Context) ([]bundle.Resource, error) {
	engine, err := r.app.engine(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	found, err := bundle.List(ctx, engine, r.app.owner())
	return found, engineProblem(err)
}

// Remove removes what a dead process left in the engine.
func (r resources) Remove(ctx context.Context, id names.Identity) error {
	engine, err := r.app.engine(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	return engineProblem(bundle.Remove(ctx, engine, r.app.owner(), string(id)))
}
