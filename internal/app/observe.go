package app

import (
	"context"

	"github.com/moby/moby/client"

	"bottle.internal/pkg/bundle"
)

// observed is an engine that reports its effects: see [Config.Observe].
type observed struct {
	bundle.Engine
	did func(effect string)
}

// watched is the engine itself where nobody observes.
func (a *App) watched(engine bundle.Engine) bundle.Engine {
	if a.config.Observe == nil {
		return engine
	}
	return observed{Engine: engine, did: a.config.Observe}
}

func (o observed) NetworkCreate(ctx context.Context, name string, options client.NetworkCreateOptions) (client.NetworkCreateResult, error) {
	defer o.did("creating network " + name)
	return o.Engine.NetworkCreate(ctx, name, options)
}

func (o observed) NetworkRemove(ctx context.Context, id string, options client.NetworkRemoveOptions) (client.NetworkRemoveResult, error) {
	defer o.did("removing a network")
	return o.Engine.NetworkRemove(ctx, id, options)
}

func (o observed) ContainerCreate(ctx context.Context, options client.ContainerCreateOptions) (client.ContainerCreateResult, error) {
	defer o.did("creating container " + options.Name)
	return o.Engine.ContainerCreate(ctx, options)
}

func (o observed) ContainerStart(ctx context.Context, id string, options client.ContainerStartOptions) (client.ContainerStartResult, error) {
	defer o.did("starting a container")
	return o.Engine.ContainerStart(ctx, id, options)
}

func (o observed) ContainerStop(ctx context.Context, id string, options client.ContainerStopOptions) (client.ContainerStopResult, error) {
	defer o.did("stopping a container")
	return o.Engine.ContainerStop(ctx, id, options)
}

func (o observed) ContainerRemove(ctx context.Context, id string, options client.ContainerRemoveOptions) (client.ContainerRemoveResult, error) {
	defer o.did("removing a container")
	return o.Engine.ContainerRemove(ctx, id, options)
}

func (o observed) VolumeRemove(ctx context.Context, name string, options client.VolumeRemoveOptions) (client.VolumeRemoveResult, error) {
	defer o.did("removing volume " + name)
	return o.Engine.VolumeRemove(ctx, name, options)
}
