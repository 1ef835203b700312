package bundle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

var (
	// ErrEngineDown is wrapped when the Docker Engine cannot be reached.
	ErrEngineDown = errors.New("the Docker Engine does not answer")
	// ErrLeftover is wrapped when a name is taken by what an earlier run left behind.
	ErrLeftover = errors.New("the name is taken by a leftover of an earlier run")
	// ErrNoImage is wrapped when the engine lacks an image.
	ErrNoImage = errors.New("the engine has no such image")
	// ErrNoSubnet is wrapped when the engine's address pools are used up.
	ErrNoSubnet = errors.New("the engine has no subnet left for another network")
)

// Engine is what this package asks of the engine; [client.Client] has it.
type Engine interface {
	NetworkCreate(ctx context.Context, name string, options client.NetworkCreateOptions) (client.NetworkCreateResult, error)
	NetworkList(ctx context.Context, options client.NetworkListOptions) (client.NetworkListResult, error)
	NetworkRemove(ctx context.Context, id string, options client.NetworkRemoveOptions) (client.NetworkRemoveResult, error)

	ContainerCreate(ctx context.Context, options client.ContainerCreateOptions) (client.ContainerCreateResult, error)
	ContainerAttach(ctx context.Context, id string, options client.ContainerAttachOptions) (client.ContainerAttachResult, error)
	ContainerStart(ctx context.Context, id string, options client.ContainerStartOptions) (client.ContainerStartResult, error)
	ContainerInspect(ctx context.Context, id string, options client.ContainerInspectOptions) (client.ContainerInspectResult, error)
	ContainerList(ctx context.Context, options client.ContainerListOptions) (client.ContainerListResult, error)
	ContainerStop(ctx context.Context, id string, options client.ContainerStopOptions) (client.ContainerStopResult, error)
	ContainerRemove(ctx context.Context, id string, options client.ContainerRemoveOptions) (client.ContainerRemoveResult, error)

	VolumeList(ctx context.Context, options client.VolumeListOptions) (client.VolumeListResult, error)
	VolumeRemove(ctx context.Context, name string, options client.VolumeRemoveOptions) (client.VolumeRemoveResult, error)

	ExecCreate(ctx context.Context, id string, options client.ExecCreateOptions) (client.ExecCreateResult, error)
	ExecAttach(ctx context.Context, id string, options client.ExecAttachOptions) (client.ExecAttachResult, error)
	ExecInspect(ctx context.Context, id string, options client.ExecInspectOptions) (client.ExecInspectResult, error)
}

var _ Engine = (*client.Client)(nil)

// Connect reaches the engine at host; an empty host means what DOCKER_HOST and its
// companions name. Where neither names one and the usual socket is silent, it tries the
// given socket paths (Docker Desktop, Colima and rootless engines have their own). The
// caller closes the client.
func Connect(ctx context.Context, host string, sockets ...string) (*client.Client, error) {
	options := []client.Opt{client.FromEnv}
	if host != "" {
		options = append(options, client.WithHost(host))
	}
	engine, first := connect(ctx, options...)
	if first == nil {
		return engine, nil
	}
	if host == "" && os.Getenv(client.EnvOverrideHost) == "" {
		for _, socket := range sockets {
			if engine, err := connect(ctx, client.FromEnv, client.WithHost("unix://"+socket)); err == nil {
				return engine, nil
			}
		}
	}
	return nil, fmt.Errorf("reaching the Docker Engine: %w", first)
}

func connect(ctx context.Context, options ...client.Opt) (*client.Client, error) {
	engine, err := client.New(options...)
	if err != nil {
		return nil, err
	}
	if _, err := engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return nil, errors.Join(explain(err), engine.Close())
	}
	return engine, nil
}

// explain adds the sentinel that a caller may branch on.
func explain(err error) error {
	op := (*net.OpError)(nil)
	switch {
	case err == nil:
		return nil
	case client.IsErrConnectionFailed(err), errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("%w: %w", ErrEngineDown, err)
	}
	return err
}

func isGone(err error) bool { return err == nil || errdefs.IsNotFound(err) }
