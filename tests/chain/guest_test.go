//go:build integration

package chain

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/boundary"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/link"
	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/sidecar"
	"bottle.internal/internal/state"
	"bottle.internal/internal/token"
	"bottle.internal/pkg/smolvm"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/shortdir"
)

// inhabited is a whole launch around the real bundle, its relays and its audit log, with this
// test in the place of the machine: it has what was provisioned, and the sockets.
type inhabited struct {
	bottle   // for what the other tests look at
	launched *launch.Bottle
	root     *state.Root
	audits   string            // path of the audit log
	sockets  map[string]string // on the host, by the guest's
	files    map[string]string // what was provisioned, by its path
}

// inhabit launches the bottle of a manifest; it ends with the test.
func inhabit(t *testing.T, text string) *inhabited {
	t.Helper()
	g := &inhabited{bottle: bottle{t: t, engine: setup(t)}, sockets: map[string]string{}, files: map[string]string{}}
	g.plan = planOf(t, text)
	dir := shortdir.New(t)
	var err error
	if g.root, err = state.OpenRoot(filepath.Join(dir, "s")); err != nil {
		t.Fatal(err)
	}
	key, err := audit.LoadKey(filepath.Join(dir, "key"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	g.audits = filepath.Join(dir, "audit.jsonl")
	log, err := audit.Open(g.audits, key, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	specs := map[int]token.Spec{}
	for i, route := range g.plan.Egress {
		if route.Auth != nil {
			specs[i] = token.Spec{Source: route.Auth.Source, Name: route.Auth.Name}
		}
	}
	tokens, err := token.New(specs, token.Options{Environ: []string{"CHAIN_TOKEN=real-" + rand.Text()}})
	if err != nil {
		t.Fatal(err)
	}
	g.launched, err = launch.Start(t.Context(), g.plan, launch.Deps{
		Machine: played{g: g}, Tool: smolvm.Tool{Name: "none", Path: "/bin/true"}, Sidecars: bundles{g}, Audit: log, State: g.root,
		Artifact: func(context.Context) (launch.Artifact, error) { return launch.Artifact{Path: "none"}, nil },
		Targets:  func(context.Context) (*boundary.Targets, error) { return &boundary.Targets{}, nil },
		Secrets:  launch.Secrets{Tokens: tokens}, Release: log.Close, Events: &g.events, PID: os.Getpid(), Now: time.Now,
	})
	if err != nil {
		t.Fatalf("launching: %v\n%s", err, g.events.tail())
	}
	t.Cleanup(func() {
		if err := g.launched.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			var audited journal
			text, _ := os.ReadFile(g.audits)
			_, _ = audited.Write(text)
			t.Logf("events:\n%s\naudit log:\n%s", g.events.tail(), audited.tail())
		}
	})
	return g
}

func planOf(t *testing.T, text string) plan.Plan {
	t.Helper()
	set, err := manifest.Load(manifest.Sources{User: manifest.Source{Path: "bottle.toml", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := names.NewIdentity("chain", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Resolve(set, plan.Request{Agent: "chain", Identity: identity}, plan.Facts{
		FirewallEngine: "builtin", HostEnv: map[string]bool{"CHAIN_TOKEN": true}, Files: map[string]plan.FileFact{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// bundles is [launch.Sidecars] with the real bundle.
type bundles struct{ g *inhabited }

func (s bundles) Start(ctx context.Context, spec launch.SidecarSpec) (launch.Sidecar, error) {
	started, err := sidecar.Starter{
		Engine: s.g.engine, Owner: owner, Events: &s.g.events,
		Image: func(context.Context) (string, error) { return shared.image, nil },
	}.Start(ctx, spec)
	s.g.sidecar = started
	return started, err
}

// played is the machine.
type played struct {
	launch.Machine
	g *inhabited
}

func (m played) Create(_ context.Context, o smolvm.CreateOptions) error {
	for _, socket := range o.Sockets {
		m.g.sockets[socket.Guest] = socket.Host
	}
	return nil
}

func (played) Start(context.Context, string) error  { return nil }
func (played) Delete(context.Context, string) error { return nil }

// Exec plays bottle-guest: provision, or an agent that ends well at once.
func (m played) Exec(_ context.Context, o smolvm.ExecOptions) (int, error) {
	nonce := guestapi.Nonce(o.Command[slices.Index(o.Command, "--nonce")+1])
	if slices.Contains(o.Command, "provision") {
		if err := m.g.provisioned(o, nonce); err != nil {
			return -1, err
		}
	}
	_, err := io.WriteString(o.Stderr, guestapi.Frame(nonce, 0))
	return 0, err
}

func (g *inhabited) provisioned(o smolvm.ExecOptions, nonce guestapi.Nonce) error {
	stdin := bufio.NewReader(o.Stdin)
	line, err := probe.ReadLine(stdin)
	if err != nil {
		return err
	}
	probes, err := probe.Parse[probe.Probe](line)
	if err != nil {
		return err
	}
	var said []probe.Observation
	for _, p := range probes {
		said = append(said, probe.Observation{Name: p.Name, Reached: p.Kind == probe.Health, Saw: "as it should be"})
	}
	out := bytes.NewBufferString(guestapi.Proved(nonce))
	if err := probe.Write(out, said); err != nil {
		return err
	}
	if _, err := o.Stdout.Write(out.Bytes()); err != nil {
		return err
	}
	for reader := tar.NewReader(stdin); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, stdin)
			return err
		}
		if err != nil {
			return err
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			return err
		}
		g.files["/"+header.Name] = string(data)
	}
}

// way is a port of this host that leads through the relay of a guest's port, as
// bottle-guest's does.
func (g *inhabited) way(t *testing.T, port uint16) (address string) {
	t.Helper()
	listener := fakenet.Listen(t)
	socket := g.sockets[guestapi.SocketPath(port)]
	fakenet.Serve(t, listener, func(conn net.Conn) {
		behind, err := net.Dial("unix", socket)
		if err == nil {
			_ = link.Splice(context.WithoutCancel(t.Context()), conn.(*net.TCPConn), behind.(*net.UnixConn), &link.Counters{})
		}
	})
	return listener.Addr().String()
}

// curl runs the real one as the agent would, and returns the status that it saw and all that
// it says; 0 means that nothing answered.
func (g *inhabited) curl(t *testing.T, args ...string) (status int, said string) {
	t.Helper()
	trust := filepath.Join(t.TempDir(), "ca.pem")
	var certs strings.Builder
	for name, text := range g.files {
		if strings.HasPrefix(path.Base(name), "bottle-") && path.Ext(name) == ".crt" {
			certs.WriteString(text)
		}
	}
	if err := os.WriteFile(trust, []byte(certs.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out journal
	_ = execx.Run(t.Context(), execx.Cmd{
		Path: "curl", Stdout: &out, Stderr: &out, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"},
		Args: append([]string{"--silent", "--show-error", "--max-time", "20", "--cacert", trust, "--proxy", "http://" + g.way(t, portFirewall), "--write-out", "\nstatus %{http_code}\n"}, args...),
	})
	said = out.String()
	if at := strings.LastIndex(said, "status "); at >= 0 {
		_, _ = fmt.Sscanf(said[at:], "status %d", &status)
	}
	return status, said
}

// audited waits until the audit log has a line with all of the parts, and returns it.
func (g *inhabited) audited(t *testing.T, parts ...string) string {
	t.Helper()
	var found string
	eventually.Fine(t, eventually.Patience, func() string {
		data, err := os.ReadFile(g.audits)
		if err != nil {
			return err.Error()
		}
		for line := range strings.Lines(string(data)) {
			if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
				found = line
				return ""
			}
		}
		return fmt.Sprintf("no line has %q", parts)
	})
	return found
}
