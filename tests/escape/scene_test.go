//go:build integration && linux

package escape

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/execx"
	"bottle.internal/pkg/bundle"
	"bottle.internal/tests/integration/rig"
)

const (
	// prefix begins the names of all agents here.
	prefix     = "es-"
	guestProbe = "/usr/local/bin/es-probe"
	proxy      = "127.0.0.1:8888"
	label      = "bottle.test"
)

// scene is a bottle that is attacked, another one, and live targets all around them.
type scene struct {
	*rig.Rig
	engine  *client.Client
	program string
	id      string // of the bottle that is attacked
	other   string // of its neighbour
	beside  *testcontainers.DockerContainer
	outside *testcontainers.DockerContainer
	mu      sync.Mutex
	bells   map[string]*boundary.Listener // on this host, by their counter
}

// newScene starts all of it; it ends with the test.
func newScene(t *testing.T) *scene {
	t.Helper()
	if os.Getuid() != 0 {
		rig.Need(t, "root", errors.New("only root can reach some of the targets to show that they are alive"))
	}
	r, engine := rig.ForTest(t, true)
	s := &scene{Rig: r, engine: engine, program: filepath.Join(r.Dir, "probe"), bells: map[string]*boundary.Listener{}}
	if err := s.UseManifest(manifest, tokenName+"="+token); err != nil {
		t.Fatal(err)
	}
	if err := s.Build(t.Context(), rig.ProbeProgram, s.program); err != nil {
		t.Fatal(err)
	}
	s.reap(t)
	t.Cleanup(func() { s.nothingLeft(t) })
	s.startAll(t)
	return s
}

// startAll boots both bottles, and the targets outside of them, side by side.
func (s *scene) startAll(t *testing.T) {
	t.Helper()
	began := time.Now()
	var all sync.WaitGroup
	var outsideErr error
	all.Go(func() { s.id = s.boot(t, "es-main") })
	all.Go(func() { s.other = s.boot(t, "es-other") })
	all.Go(func() { s.outside, outsideErr = s.startOutside(context.WithoutCancel(t.Context())) })
	all.Wait()
	t.Cleanup(func() { s.stop(t) })
	if t.Failed() {
		t.FailNow()
	}
	if outsideErr != nil {
		t.Fatalf("the targets outside: %v", outsideErr)
	}
	names := []string{"up.bottle.test", "plain.bottle.test", "alive.bottle.test", "rebind.bottle.test", tapped}
	var err error
	s.beside, err = s.Beside(t.Context(), s.program,
		network.WithNetworkName(names, bundle.KindNetwork.Name(s.id)),
		testcontainers.WithCmd(append([]string{"serve"}, names...)...),
		testcontainers.WithLabels(map[string]string{label: "escape"}),
	)
	if s.beside != nil {
		t.Cleanup(func() {
			_ = testcontainers.TerminateContainer(s.beside, testcontainers.StopTimeout(0))
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s and %s run after %v", s.id, s.other, time.Since(began).Round(100*time.Millisecond))
}

// boot starts a bottle that stays, and brings the program into it.
func (s *scene) boot(t *testing.T, agent string) string {
	result, err := s.Run(context.WithoutCancel(t.Context()), "start", agent, "--detach", "--yes")
	if err != nil || result.Code != 0 {
		t.Errorf("starting %s: %v, %s", agent, err, result)
		return ""
	}
	id := strings.TrimSpace(result.Stdout)
	program, err := os.ReadFile(s.program)
	if err != nil {
		t.Error(err)
		return id
	}
	sent := s.input(t, program, "exec", "--root", id, "--", "sh", "-c", "cat >"+guestProbe+" && chmod 755 "+guestProbe)
	if sent.Code != 0 {
		t.Errorf("sending the program to %s: %s", agent, sent)
	}
	return id
}

// input runs bottle with something on its stdin.
func (s *scene) input(t *testing.T, stdin []byte, args ...string) rig.Result {
	t.Helper()
	result, err := rig.RunProgram(t.Context(), execx.Cmd{Path: s.Bottle, Args: args, Env: s.Env, Dir: s.Dir, Stdin: bytes.NewReader(stdin)})
	if err != nil {
		t.Errorf("bottle %s: %v", strings.Join(args, " "), err)
	}
	return result
}

// bottle runs bottle, whatever comes of it.
func (s *scene) bottle(t *testing.T, args ...string) rig.Result {
	t.Helper()
	return s.input(t, nil, args...)
}

// in runs a script in a guest, as root or as the agent ("").
func (s *scene) in(t *testing.T, id, who, script string) rig.Result {
	t.Helper()
	args := []string{"exec", id, "--", "sh", "-c", script}
	if who == "root" {
		args = append([]string{"exec", "--root"}, args[1:]...)
	}
	return s.bottle(t, args...)
}

// stop ends both bottles.
func (s *scene) stop(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	var ids []string
	for _, id := range []string{s.id, s.other} {
		if id != "" {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	if result, err := s.Run(ctx, append([]string{"stop"}, ids...)...); err != nil || result.Code != 0 {
		t.Errorf("stopping: %v, %s", err, result)
	}
	if result, err := s.Run(ctx, "cleanup", "--yes"); err != nil || result.Code != 0 {
		t.Errorf("cleaning up: %v, %s", err, result)
	}
}

// addresses of a bottle's network.
type addresses struct{ bundle, gateway, gate string }

func (s *scene) addresses(t *testing.T, id string) addresses {
	t.Helper()
	found, err := s.engine.ContainerInspect(t.Context(), bundle.KindBundle.Name(id), client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	settings := found.Container.NetworkSettings
	endpoint, ok := settings.Networks[bundle.KindNetwork.Name(id)]
	if !ok {
		t.Fatalf("the bundle of %s is not in its network: %+v", id, settings.Networks)
	}
	for _, bindings := range settings.Ports {
		for _, binding := range bindings {
			return addresses{endpoint.IPAddress.String(), endpoint.Gateway.String(), net.JoinHostPort(binding.HostIP.String(), binding.HostPort)}
		}
	}
	t.Fatalf("the bundle of %s publishes no port", id)
	return addresses{}
}

// reap removes what an interrupted run left.
func (s *scene) reap(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if err := s.Reap(ctx, s.engine, prefix); err != nil {
		t.Error(err)
	}
	if err := rig.RemoveLabelled(ctx, s.engine, label+"=escape"); err != nil {
		t.Error(err)
	}
}

// nothingLeft is the last word; what it finds is removed, but a failure.
func (s *scene) nothingLeft(t *testing.T) {
	left, err := s.Left(context.WithoutCancel(t.Context()), s.engine, prefix)
	if err != nil {
		t.Error(err)
	}
	if len(left) > 0 {
		t.Errorf("left at the end:\n%s", strings.Join(left, "\n"))
	}
	s.reap(t)
}
