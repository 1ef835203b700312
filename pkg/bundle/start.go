package bundle

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

const (
	overlapTries = 5
	overlapPause = 50 * time.Millisecond
)

// Start makes and starts everything, and returns with the container running and its
// streams attached; the caller sends the bootstrap. What it made is gone again when it
// fails. Errors wrap [ErrEngineDown], [ErrLeftover], [ErrNoImage] or [ErrNoSubnet].
func Start(ctx context.Context, engine Engine, spec Spec) (*Bundle, error) {
	if err := spec.check(); err != nil {
		return nil, fmt.Errorf("starting a bundle: %w", err)
	}
	b := &Bundle{engine: engine, spec: spec.withDefaults(), run: rand.Text()}
	if err := b.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting bundle %s: %w", spec.Identity, err), b.abandon(ctx))
	}
	return b, nil
}

func (b *Bundle) start(ctx context.Context) error {
	if err := b.makeNetwork(ctx); err != nil {
		return err
	}
	if b.spec.Echo != nil {
		if err := b.startEcho(ctx); err != nil {
			return fmt.Errorf("starting the echo container: %w", err)
		}
	}
	if err := b.checkVolume(ctx); err != nil {
		return err
	}
	id, err := b.create(ctx, b.spec.bundleOptions(b.run, b.networkID))
	if err != nil {
		return err
	}
	b.containerID = id
	return b.launch(ctx)
}

// makeNetwork looks for the name first: engines before 25 make a second network of it.
func (b *Bundle) makeNetwork(ctx context.Context) error {
	name := KindNetwork.Name(b.spec.Identity)
	list, err := b.engine.NetworkList(ctx, client.NetworkListOptions{Filters: make(client.Filters).Add("name", name)})
	if err != nil {
		return fmt.Errorf("looking for network %s: %w", name, explain(err))
	}
	for _, item := range list.Items {
		if item.Name == name {
			return fmt.Errorf("creating network %s: %w", name, ErrLeftover)
		}
	}
	for try := 1; ; try++ {
		whole, cancel, err := atomic(ctx)
		if err != nil {
			return fmt.Errorf("creating network %s: %w", name, err)
		}
		result, err := b.engine.NetworkCreate(whole, name, b.spec.networkOptions(b.run))
		cancel()
		switch {
		case err == nil:
			b.networkID = result.ID
			return nil
		case errdefs.IsConflict(err):
			return fmt.Errorf("creating network %s: %w: %w", name, ErrLeftover, err)
		case strings.Contains(err.Error(), "non-overlapping"):
			return fmt.Errorf("creating network %s: %w: %w", name, ErrNoSubnet, err)
		case !strings.Contains(err.Error(), "Pool overlaps") || try == overlapTries:
			return fmt.Errorf("creating network %s: %w", name, explain(err))
		}
		// Somebody took the subnet between the engine's choice and its use.
		select {
		case <-time.After(time.Duration(try) * overlapPause):
		case <-ctx.Done():
			return fmt.Errorf("creating network %s: %w", name, context.Cause(ctx))
		}
	}
}

const (
	// createTime bounds a call that makes something. An engine makes networks one after
	// the other, so a burst of bottles waits for its turn.
	createTime = time.Minute
	// createGrace is how long such a call may go on after an interrupt.
	createGrace = 3 * time.Second
)

// atomic is the context of a call that makes something: begun, it is not cut off when
// ctx ends. The engine would finish it all the same, perhaps after we looked for what
// to take away.
func atomic(ctx context.Context) (whole context.Context, cancel context.CancelFunc, err error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	whole, end := context.WithTimeout(context.WithoutCancel(ctx), createTime)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(createGrace):
			end()
		case <-whole.Done():
		}
	})
	return whole, func() { stop(); end() }, nil
}

func (b *Bundle) create(ctx context.Context, options client.ContainerCreateOptions) (id string, err error) {
	whole, cancel, err := atomic(ctx)
	if err != nil {
		return "", fmt.Errorf("creating container %s: %w", options.Name, err)
	}
	defer cancel()
	result, err := b.engine.ContainerCreate(whole, options)
	switch {
	case errdefs.IsConflict(err):
		err = fmt.Errorf("%w: %w", ErrLeftover, err)
	case errdefs.IsNotFound(err):
		err = fmt.Errorf("%w: %w", ErrNoImage, err)
	}
	if err != nil {
		return "", fmt.Errorf("creating container %s: %w", options.Name, explain(err))
	}
	return result.ID, nil
}

func (b *Bundle) startEcho(ctx context.Context) error {
	id, err := b.create(ctx, b.spec.echoOptions(b.run, b.networkID))
	if err != nil {
		return err
	}
	b.echoID = id
	b.echo, err = attach(ctx, b.engine, id, b.spec.Echo.Logs)
	if err != nil {
		return fmt.Errorf("attaching to it: %w", err)
	}
	if _, err := b.engine.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return explain(err)
	}
	if _, err := (stdin{b.echo}).Write(b.spec.Echo.Stdin); err != nil {
		return fmt.Errorf("writing to it: %w", err)
	}
	if err := (stdin{b.echo}).Close(); err != nil {
		return fmt.Errorf("writing to it: %w", err)
	}
	if err := b.echo.firstLine(ctx); err != nil {
		return err
	}
	b.drained.Go(func() { _, _ = io.Copy(b.spec.Echo.Logs, b.echo.stdout) })
	return nil
}

// launch attaches, starts and finds the published port; a restart does it again.
func (b *Bundle) launch(ctx context.Context) error {
	streams, err := attach(ctx, b.engine, b.containerID, b.spec.Logs)
	if err != nil {
		return fmt.Errorf("attaching to the container: %w", err)
	}
	b.setStreams(streams, "")
	if _, err := b.engine.ContainerStart(ctx, b.containerID, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("starting the container: %w", explain(err))
	}
	result, err := b.engine.ContainerInspect(ctx, b.containerID, client.ContainerInspectOptions{})
	if err != nil {
		return fmt.Errorf("inspecting the container: %w", explain(err))
	}
	info := result.Container
	if info.State == nil || !info.State.Running {
		code := -1
		if info.State != nil {
			code = info.State.ExitCode
		}
		return fmt.Errorf("the container ended at once with exit status %d", code)
	}
	gate := b.spec.published(info)
	if gate == "" {
		return fmt.Errorf("the engine published no port of 127.0.0.1 for %s", b.spec.gatePort())
	}
	b.setStreams(streams, gate)
	return nil
}

// published is the gate's address on the host, or "".
func (s Spec) published(info container.InspectResponse) string {
	if info.NetworkSettings == nil {
		return ""
	}
	for _, binding := range info.NetworkSettings.Ports[s.gatePort()] {
		if binding.HostIP.IsLoopback() && binding.HostPort != "" {
			return binding.HostIP.String() + ":" + binding.HostPort
		}
	}
	return ""
}
