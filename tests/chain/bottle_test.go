//go:build integration

package chain

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/control"
	"bottle.internal/internal/event"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/link"
	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/sidecar"
	"bottle.internal/internal/token"
	"bottle.internal/pkg/bundle"
	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/logtest"
)

// What the manifests of this package have in common: a provider, a repository, and the agent.
const (
	apiRoute = `
[[bottles.b.egress.routes]]
host = "api.bottle.test"
address = "private"
methods = ["GET", "POST"]
paths = ["/v1/"]
auth = { header = "Authorization", scheme = "Bearer", token = "env:CHAIN_TOKEN" }
`
	repositoryAndAgent = `
[[bottles.b.git.remotes]]
name = "app"
upstream = "ssh://git@git.bottle.test/app.git"

[agents.chain]
bottle = "b"
template = "shell"
`
)

// manifestText is the bottle of all tests. Its echo names are alive; up is a container
// that a test adds.
const manifestText = `
[bottles.b]
echo = ["api.bottle.test", "absent.bottle.test", "plain.bottle.test", "later.bottle.test", "git.bottle.test"]
supervise = true

[[bottles.b.egress.routes]]
host = "plain.bottle.test"
address = "private"

` + apiRoute + `
[[bottles.b.egress.routes]]
host = "absent.bottle.test"
address = "private"
methods = ["GET"]
paths = ["/v1/"]
auth = { header = "Authorization", scheme = "Bearer", token = "env:CHAIN_ABSENT" }

[[bottles.b.egress.routes]]
host = "up.bottle.test"
address = "private"
methods = ["GET", "POST"]
paths = ["/v1/"]
auth = { header = "Authorization", scheme = "Bearer", token = "file:%s" }
upstream_ca = "/up/ca.pem"

` + repositoryAndAgent

// journal keeps lines.
type journal struct{ logtest.Buffer }

// tail is the end of it, for failures.
func (j *journal) tail() string {
	lines := strings.SplitAfter(j.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "")
}

// Send implements [event.Sink].
func (j *journal) Send(_ context.Context, e event.Event) { _, _ = fmt.Fprintln(j, e.Kind, e.Text) }

// bottle is the host's half and the bundle of one, with a test in place of the guest.
type bottle struct {
	t         testing.TB
	engine    *client.Client
	plan      plan.Plan
	instance  string
	key       link.Key
	authority *ca.Authority // the guest's
	upCA      *ca.Authority // up's
	sshKey    secret.Value
	realToken string
	tokenFile string // up's
	overseer  *overseer.Overseer
	sidecar   launch.Sidecar
	events    journal
	log       journal // of the daemons
	echoLog   journal
	begun     time.Time
	ready     time.Duration // how long the start took
	closed    time.Duration // and the end

	closeTries int // after the first
	closes     int
}

// start runs a bottle that ends with the test; changes are made before.
func start(t *testing.T, changes ...func(*bottle)) *bottle {
	t.Helper()
	b := prepareBottle(t, setup(t))
	for _, change := range changes {
		change(b)
	}
	t.Cleanup(func() {
		b.end()
		t.Logf("closed after %v", b.closed.Round(time.Millisecond))
		if t.Failed() {
			t.Logf("events:\n%s\ndaemons:\n%s\necho:\n%s", b.events.tail(), b.log.tail(), b.echoLog.tail())
		}
	})
	if err := b.launch(t.Context(), shared.watched); err != nil {
		t.Fatalf("starting the bundle: %v", err)
	}
	t.Logf("%s is ready after %v", b.plan.Identity, b.ready.Round(time.Millisecond))
	return b
}

// prepareBottle does what the host does before there is a container.
func prepareBottle(t *testing.T, engine *client.Client) *bottle {
	t.Helper()
	b := &bottle{t: t, engine: engine, instance: t.TempDir(), realToken: "real-" + rand.Text()}
	b.tokenFile = filepath.Join(b.instance, "token")
	b.writeToken("first-" + rand.Text())
	b.plan = b.resolve()
	var err error
	if b.key, err = link.NewKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	b.authority, b.upCA = fakenet.Authority(t), fakenet.Authority(t)
	return b
}

func (b *bottle) writeToken(value string) {
	b.t.Helper()
	if err := os.WriteFile(b.tokenFile, []byte(value+"\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bottle) resolve() plan.Plan {
	b.t.Helper()
	text := fmt.Sprintf(manifestText, b.tokenFile)
	set, err := manifest.Load(manifest.Sources{User: manifest.Source{Path: "bottle.toml", Data: []byte(text)}})
	if err != nil {
		b.t.Fatal(err)
	}
	identity, err := names.NewIdentity("chain", rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	facts := plan.Facts{FirewallEngine: "builtin", HostEnv: map[string]bool{"CHAIN_TOKEN": true}, Files: map[string]plan.FileFact{}}
	for _, ref := range plan.NeedsOf(set, "chain").Files {
		facts.Files[ref.Path] = plan.FileFact{Exists: true, Mode: 0o600}
	}
	p, err := plan.Resolve(set, plan.Request{Agent: "chain", Identity: identity}, facts)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// launch is the part of internal/launch that is about the bundle.
func (b *bottle) launch(ctx context.Context, image string) error {
	echoCA, stdin, remotes, err := b.echo()
	if err != nil {
		return err
	}
	specs := map[int]token.Spec{}
	for i, route := range b.plan.Egress {
		if route.Auth != nil {
			specs[i] = token.Spec{Source: route.Auth.Source, Name: route.Auth.Name}
		}
	}
	tokens, err := token.New(specs, token.Options{Environ: []string{"CHAIN_TOKEN=" + b.realToken}})
	if err != nil {
		return err
	}
	b.begun = time.Now()
	b.overseer, err = overseer.New(ctx, overseer.Config{
		Plan: b.plan, Instance: b.instance, Authority: b.authority, EchoCA: echoCA, Tokens: tokens, Remotes: remotes,
		UpstreamCAs: map[string][]byte{"/up/ca.pem": b.upCA.CertPEM()},
		Say:         func(text string) { _, _ = fmt.Fprintln(&b.events, "say", text) },
		Hide:        func(...secret.Value) {},
		Audit:       func(string, map[string]any) {},
		Now:         time.Now,
	})
	if err != nil {
		return err
	}
	inputs, err := b.overseer.Inputs()
	if err != nil {
		return err
	}
	boot, err := b.echoBootstrap(stdin)
	if err != nil {
		return err
	}
	begin := time.Now()
	b.sidecar, err = sidecar.Starter{
		Engine: b.engine, Owner: owner, Events: &b.events,
		Image: func(context.Context) (string, error) { return image, nil },
	}.Start(ctx, b.spec(inputs, boot))
	if err != nil {
		return err
	}
	b.ready = time.Since(begin)
	b.overseer.Follow(b.sidecar.Deliver)
	return nil
}

func (b *bottle) spec(inputs map[string]control.Inputs, boot []byte) launch.SidecarSpec {
	spec := launch.SidecarSpec{
		Identity: b.plan.Identity, Labels: b.plan.Labels, Hosts: overseer.Hosts(b.plan), Key: b.key,
		Daemons: b.plan.Daemons, Inputs: inputs, Answer: b.overseer.Answer, Log: &b.log,
		Echo: b.plan.Echo, EchoStdin: boot, EchoLog: &b.echoLog,
	}
	for _, port := range b.plan.Ports {
		spec.Ports = append(spec.Ports, uint16(port.Guest))
	}
	return spec
}

// end takes everything down and says what is left.
func (b *bottle) end() {
	ctx := context.WithoutCancel(b.t.Context())
	if b.sidecar != nil {
		begin := time.Now()
		// An engine that is busy may need more than the 4 s of one Close: it may be repeated.
		err := b.sidecar.Close(ctx)
		for ; err != nil && b.closes < b.closeTries; b.closes++ {
			err = b.sidecar.Close(ctx)
		}
		if err != nil {
			b.t.Errorf("closing the bundle: %v", err)
		}
		b.closed = time.Since(begin)
	}
	if b.overseer != nil {
		if err := b.overseer.Close(); err != nil {
			b.t.Error(err)
		}
	}
	found, err := bundle.List(ctx, b.engine, owner)
	for _, item := range found {
		if item.Identity == b.plan.Identity {
			b.t.Errorf("left behind: %+v", item)
		}
	}
	if err := errors.Join(err, bundle.Remove(ctx, b.engine, owner, b.plan.Identity)); err != nil {
		b.t.Error(err)
	}
}

// container is the name of the bundle's container, echo that of the upstream's.
func (b *bottle) container() string     { return bundle.KindBundle.Name(b.plan.Identity) }
func (b *bottle) echoContainer() string { return bundle.KindEcho.Name(b.plan.Identity) }
