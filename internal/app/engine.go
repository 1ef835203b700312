package app

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/moby/client"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/sidecar"
	"bottle.internal/pkg/bundle"
)

// engineTimeout bounds the first question to the engine.
const engineTimeout = 5 * time.Second

// engine connects to the Docker Engine. The caller closes it.
func (a *App) engine(ctx context.Context) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	host, err := a.engineHost()
	if err != nil {
		return nil, &Problem{Err: err, Hints: []string{"docker context ls"}}
	}
	engine, err := bundle.Connect(ctx, host, engineSockets(a.config.OS, a.dirs.home, a.config.getenv)...)
	if err != nil {
		return nil, engineProblem(err)
	}
	return engine, nil
}

// engineHost is the engine of the person's Docker context, as the docker command would
// find it; "" leaves it to DOCKER_HOST and the usual sockets.
func (a *App) engineHost() (string, error) {
	if a.config.getenv(client.EnvOverrideHost) != "" {
		return "", nil
	}
	config := cmp.Or(a.config.getenv("DOCKER_CONFIG"), filepath.Join(a.dirs.home, ".docker"))
	return bundle.ContextHost(os.DirFS(config), a.config.getenv("DOCKER_CONTEXT"))
}

// engineSockets are where engines listen that do not own /var/run/docker.sock, in the order
// in which they are tried.
func engineSockets(goos, home string, getenv func(string) string) []string {
	if goos == "darwin" {
		sockets := []string{filepath.Join(home, ".docker/run/docker.sock")} // Docker Desktop
		for _, colima := range []string{getenv("COLIMA_HOME"), filepath.Join(home, ".colima"), under(getenv("XDG_CONFIG_HOME"), "colima")} {
			if colima != "" {
				sockets = append(sockets, filepath.Join(colima, "default/docker.sock"))
			}
		}
		return append(sockets, filepath.Join(home, ".orbstack/run/docker.sock"), filepath.Join(home, ".rd/docker.sock"))
	}
	var sockets []string
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		sockets = append(sockets, filepath.Join(dir, "docker.sock")) // rootless
	}
	return append(sockets, filepath.Join(home, ".docker/desktop/docker.sock"), filepath.Join(home, ".colima/default/docker.sock"))
}

// under is a directory below one that may not be named.
func under(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// engineVersion asks the engine that bottles would use, wherever it listens.
func (a *App) engineVersion(ctx context.Context) (version string, err error) {
	engine, err := a.engine(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	answer, err := engine.ServerVersion(ctx, client.ServerVersionOptions{})
	return answer.Version, err
}

// engineProblem adds what to type when the engine is down.
func engineProblem(err error) error {
	if !errors.Is(err, bundle.ErrEngineDown) {
		return err
	}
	return &Problem{Err: err, Hints: []string{"go tool mage setup", "or start Docker, then: docker version"}}
}

// sidecars is what a launch starts its bundle with. The caller closes the engine.
func (a *App) sidecars(ctx context.Context) (launch.Sidecars, *client.Client, error) {
	engine, err := a.engine(ctx)
	if err != nil {
		return nil, nil, err
	}
	return sidecar.Starter{
		Engine: a.watched(engine), Owner: a.owner(), Events: a.events,
		Image: func(ctx context.Context) (string, error) {
			return a.bundleRef(ctx, engine)
		},
	}, engine, nil
}

// owner tells our containers and machines from those of another user or state directory.
func (a *App) owner() string { return a.state.Owner() }
