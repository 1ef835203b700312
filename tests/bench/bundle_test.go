//go:build integration

package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"bottle.internal/internal/daemons"
	"bottle.internal/internal/echo"
	"bottle.internal/internal/event"
	"bottle.internal/internal/imagepack"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/link"
	manifests "bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
	"bottle.internal/internal/overseer"
	plans "bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/sidecar"
	"bottle.internal/internal/token"
	"bottle.internal/pkg/bundle"
	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/integration/rig"
)

// owner is on what this package makes in the engine itself.
const owner = "bottle-bench"

// everything is a bottle that needs every daemon. Nothing is ever asked of its hosts.
const everything = `
[bottles.all]
supervise = true

[[bottles.all.egress.routes]]
host = "plain.bottle.test"

[[bottles.all.egress.routes]]
host = "api.bottle.test"
methods = ["GET", "POST"]
paths = ["/v1/"]
auth = { header = "Authorization", scheme = "Bearer", token = "env:BENCH_TOKEN" }

[[bottles.all.git.remotes]]
name = "app"
upstream = "ssh://git@git.bottle.test/app.git"
identity_file = "/key"
known_host_key = "git.bottle.test %s"

[agents.bench-all]
bottle = "all"
template = "shell"
`

// bundles starts bundles as a launch does, without a machine.
type bundles struct {
	engine *client.Client
	image  string
	dir    string
	text   string // of the manifest
	key    secret.Value
	count  int
}

func newBundles(b *testing.B) *bundles {
	b.Helper()
	r := prepared(b)
	engine, err := rig.Engine(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = engine.Close() })
	private, public, err := echo.NewKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return &bundles{
		engine: engine, image: bundleImage(b, r, engine), dir: b.TempDir(), text: fmt.Sprintf(everything, public), key: private,
	}
}

// bundleImage is the reference of the image that bottle itself runs.
func bundleImage(b *testing.B, r *rig.Rig, engine *client.Client) string {
	b.Helper()
	job := planOf(b, r, usersCache(b), recipeOf(b, r, "bundle"))
	store := imagepack.NewStore(imagepack.Config{CacheDir: usersCache(b), Platform: "linux/" + runtime.GOARCH, Events: event.Discard()})
	loaded, err := store.EnsureLoaded(b.Context(), engine, imagepack.Image{Name: "bundle", Key: job.Key(), Build: job.Build})
	if err != nil {
		b.Fatal(err)
	}
	return loaded.Ref
}

func (s *bundles) plan(b *testing.B) plans.Plan {
	b.Helper()
	set, err := manifests.Load(manifests.Sources{User: manifests.Source{Path: "bottle.toml", Data: []byte(s.text)}})
	if err != nil {
		b.Fatal(err)
	}
	identity, err := names.NewIdentity("bench-all", rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	facts := plans.Facts{
		FirewallEngine: "builtin", HostEnv: map[string]bool{"BENCH_TOKEN": true}, Files: map[string]plans.FileFact{},
	}
	for _, ref := range plans.NeedsOf(set, "bench-all").Files {
		facts.Files[ref.Path] = plans.FileFact{Exists: true, Mode: 0o600}
	}
	p, err := plans.Resolve(set, plans.Request{Agent: "bench-all", Identity: identity}, facts)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// overseer is the host's half.
func (s *bundles) overseer(b *testing.B, p plans.Plan) *overseer.Overseer {
	b.Helper()
	specs := map[int]token.Spec{}
	var known string
	for i, route := range p.Egress {
		if route.Auth != nil {
			specs[i] = token.Spec{Source: route.Auth.Source, Name: route.Auth.Name}
		}
	}
	for line := range strings.Lines(s.text) {
		if value, ok := strings.CutPrefix(line, "known_host_key = "); ok {
			known = strings.Trim(value, "\"\n")
		}
	}
	tokens, err := token.New(specs, token.Options{Environ: []string{"BENCH_TOKEN=" + bearer}})
	if err != nil {
		b.Fatal(err)
	}
	s.count++
	instance := filepath.Join(s.dir, strconv.Itoa(s.count))
	if err := os.Mkdir(instance, 0o700); err != nil {
		b.Fatal(err)
	}
	o, err := overseer.New(b.Context(), overseer.Config{
		Plan: p, Instance: instance, Authority: fakenet.Authority(b), Tokens: tokens,
		Remotes: map[string]overseer.Identity{"app": {Key: s.key, KnownHostKey: known}},
		Say:     func(string) {}, Hide: func(...secret.Value) {}, Audit: func(string, map[string]any) {}, Now: time.Now,
	})
	if err != nil {
		b.Fatal(err)
	}
	return o
}

// start times a bundle until it is ready, lets look at it, and takes it down.
func (s *bundles) start(b *testing.B, look func(b *testing.B, container string)) time.Duration {
	b.Helper()
	p := s.plan(b)
	if got := slices.Sorted(slices.Values(append(p.Daemons, daemons.Gate))); len(got) != len(daemons.All()) {
		b.Fatalf("the plan has only %v", got)
	}
	o := s.overseer(b, p)
	defer func() {
		if err := o.Close(); err != nil {
			b.Error(err)
		}
	}()
	begin := time.Now()
	running, err := s.launch(b, p, o)
	took := time.Since(begin)
	ctx := context.WithoutCancel(b.Context())
	defer func() {
		if err := bundle.Remove(ctx, s.engine, owner, p.Identity); err != nil {
			b.Error(err)
		}
	}()
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := running.Close(ctx); err != nil {
			b.Error(err)
		}
	}()
	look(b, bundle.KindBundle.Name(p.Identity))
	return took
}

func (s *bundles) launch(b *testing.B, p plans.Plan, o *overseer.Overseer) (launch.Sidecar, error) {
	b.Helper()
	key, err := link.NewKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	inputs, err := o.Inputs()
	if err != nil {
		return nil, err
	}
	spec := launch.SidecarSpec{
		Identity: p.Identity, Labels: p.Labels, Hosts: overseer.Hosts(p), Key: key, Daemons: p.Daemons,
		Inputs: maps.Clone(inputs), Answer: o.Answer, Log: io.Discard,
	}
	for _, port := range p.Ports {
		spec.Ports = append(spec.Ports, uint16(port.Guest))
	}
	return sidecar.Starter{
		Engine: s.engine, Owner: owner, Events: event.Discard(),
		Image: func(context.Context) (string, error) { return s.image, nil },
	}.Start(b.Context(), spec)
}

// bare is what the engine itself needs for a container of the same image.
func (s *bundles) bare(b *testing.B) {
	ctx := b.Context()
	created, err := s.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{Image: s.image, OpenStdin: true, Labels: map[string]string{bundle.LabelOwner: owner}},
	})
	if err != nil {
		b.Fatal(err)
	}
	_, err = s.engine.ContainerStart(ctx, created.ID, client.ContainerStartOptions{})
	_, removeErr := s.engine.ContainerRemove(context.WithoutCancel(ctx), created.ID, client.ContainerRemoveOptions{Force: true})
	if err := errors.Join(err, removeErr); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkBundleReady is the start of a bundle with every daemon: network, container,
// what the daemons are told, until each of them answers.
func BenchmarkBundleReady(b *testing.B) {
	const bound = 60 // MB
	s := newBundles(b)
	var idle []float64
	look := func(b *testing.B, name string) {
		if len(idle) == 0 { // one of them is enough, and it takes seconds
			idle = s.idleMemory(b, name)
		}
	}
	small := func() bool { return len(idle) == 0 || idle[0]+idle[1] <= bound }
	s.start(b, look)
	compare(b, runs(b, 7),
		step{"start of a bundle with all daemons", func(b *testing.B) time.Duration { return s.start(b, look) }},
		timed("create + start + remove of a container", s.bare),
		goal{
			fmt.Sprintf("ours at most 1 s, idle memory at most %d MB", bound),
			func(ours, _ float64) bool { return ours <= 1000 && small() },
		})
	if len(idle) == 0 {
		note(b, "the memory cannot be read here and is not judged")
		return
	}
	b.ReportMetric(idle[0]+idle[1], "MB-idle")
	note(b, fmt.Sprintf("idle memory: %.1f MB = %.1f of programs and %.1f of the kernel", idle[0]+idle[1], idle[0], idle[1]))
}
