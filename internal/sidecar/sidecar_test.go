package sidecar_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/control"
	"bottle.internal/internal/event"
	"bottle.internal/internal/gate"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/link"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/sidecar"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/shortdir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// heard collects what a person would be told.
type heard struct {
	mu    sync.Mutex
	lines []string
	news  chan string
}

func newHeard() *heard { return &heard{news: make(chan string, 100)} }

func (h *heard) Send(_ context.Context, e event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, fmt.Sprintf("%s %s", e.Kind, e.Text))
	h.news <- h.lines[len(h.lines)-1]
}

// wait returns when a line was said.
func (h *heard) wait(t *testing.T, line string) {
	t.Helper()
	for timeout := time.After(eventually.Patience); ; {
		select {
		case said := <-h.news:
			if said == line {
				return
			}
		case <-timeout:
			h.mu.Lock()
			defer h.mu.Unlock()
			t.Fatalf("never said %q, only %q", line, h.lines)
		}
	}
}

func starter(engine *fakeEngine, events event.Sink) sidecar.Starter {
	return sidecar.Starter{
		Engine: engine, Owner: "owner", Events: events,
		Image: func(context.Context) (string, error) { return "bundle@sha256:1", nil },
	}
}

// daemon echoes on the loopback, as one of the bundle's would.
func daemon(t *testing.T) uint16 {
	t.Helper()
	listener := fakenet.Listen(t)
	fakenet.Serve(t, listener, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

func spec(t *testing.T, port uint16) launch.SidecarSpec {
	t.Helper()
	key, err := link.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return launch.SidecarSpec{
		Identity: "demo-aaaaa", Key: key, Daemons: []string{"firewall"}, Ports: []uint16{port}, Log: io.Discard,
		Inputs: map[string]control.Inputs{"firewall": {"routes.json": secret.New("s3cret routes")}},
		Answer: func(_ context.Context, q control.Question) (any, error) {
			return map[string]string{"for": q.Daemon}, nil
		},
	}
}

// ask sends a line through the relay's socket and returns the daemon's echo of it.
func ask(t *testing.T, socket string) (string, error) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(eventually.Patience))
	if _, err := conn.Write([]byte("hello")); err != nil {
		return "", err
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// A bundle that dies comes back with the same key at another address, and the relay that
// the guest knows goes on; meanwhile nothing passes.
func TestBundleDiesAndComesBack(t *testing.T) {
	t.Parallel()
	engine, events := newEngine(t), newHeard()
	want := spec(t, daemon(t))
	running, err := starter(engine, events).Start(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	dir := shortdir.New(t)
	socket := filepath.Join(dir, "8888.sock")
	relay, err := link.NewRelay(t.Context(), link.RelayConfig{Socket: socket, Port: want.Ports[0], Key: want.Key, Gate: running.Gate})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = relay.Close() }()
	if answer, err := ask(t, socket); answer != "hello" || err != nil {
		t.Fatalf("before: %q, %v", answer, err)
	}

	before := running.Gate()
	hold := make(chan struct{})
	engine.mu.Lock()
	engine.onBoot = func(init *control.Init) { <-hold; _ = init.Refuse("not now") } // it does not come back yet
	engine.mu.Unlock()
	engine.kill()
	events.wait(t, "warn the bundle stopped; nothing leaves the guest until it is back")
	if gate := running.Gate(); gate != "" {
		t.Errorf("a dead bundle has the gate %q", gate)
	}
	if answer, _ := ask(t, socket); answer != "" {
		t.Errorf("something answered %q while the bundle was down", answer)
	}
	close(hold)
	events.wait(t, "warn it does not come back: waiting for the bundle's daemons: waiting for the bundle: the bundle's init ended: the bundle's init refused: not now")
	engine.mu.Lock()
	engine.onBoot = nil
	engine.mu.Unlock()
	events.wait(t, "info the bundle is back")

	if after := running.Gate(); after == before || after == "" {
		t.Errorf("gate %q after %q", after, before)
	}
	if answer, err := ask(t, socket); answer != "hello" || err != nil {
		t.Errorf("afterwards: %q, %v", answer, err)
	}
	engine.mu.Lock()
	for i, boot := range engine.boots {
		key, ports, err := gate.Parse(boot.Inputs["gate"])
		if err != nil || !bytes.Equal(key.Reveal(), want.Key.Reveal()) || strings.Join(boot.Daemons, " ") != "gate firewall" ||
			ports[0] != want.Ports[0] || boot.Inputs["firewall"]["routes.json"].Reveal() != "s3cret routes" {
			t.Errorf("bootstrap %d is %+v", i, boot)
		}
	}
	if len(engine.boots) < 3 || len(engine.created) != 1 {
		t.Errorf("%d bootstraps, %d containers created", len(engine.boots), len(engine.created))
	}
	engine.mu.Unlock()
	if err := running.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if gate := running.Gate(); gate != "" {
		t.Errorf("a closed bundle has the gate %q", gate)
	}
}

// The key is for init's stdin: whoever can inspect the container does not see it.
func TestKeyIsNotInTheContainersDescription(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	want := spec(t, 1)
	running, err := starter(engine, event.Discard()).Start(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = running.Close(t.Context()) }()
	options := engine.created[0]
	text := fmt.Sprintf("%+v %+v", options.Config, options.HostConfig)
	if len(options.Config.Env) > 0 || strings.Contains(text, string(want.Key.Reveal())) || strings.Contains(text, "s3cret") || strings.Join(options.Config.Cmd, " ") != "init" {
		t.Errorf("config %s", text)
	}
}

func TestDeathsOfDaemonsAreTold(t *testing.T) {
	t.Parallel()
	engine, events := newEngine(t), newHeard()
	running, err := starter(engine, events).Start(t.Context(), spec(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = running.Close(t.Context()) }()
	engine.mu.Lock()
	init := engine.say
	engine.mu.Unlock()
	for _, e := range []control.Event{
		{Daemon: "firewall", What: control.Started, Detail: "12"},
		{Daemon: "firewall", What: control.Died, Detail: "exit status 2"},
		{Daemon: "firewall", What: control.Restarting, Detail: "1s"},
		{Daemon: "firewall", What: control.GaveUp, Detail: "5"},
	} {
		if err := init.Event(e); err != nil {
			t.Fatal(err)
		}
	}
	events.wait(t, "warn firewall: death exit status 2")
	events.wait(t, "warn firewall: give-up 5")
	if len(events.lines) != 2 {
		t.Errorf("told %q: starts and restarts are no news", events.lines)
	}
}

// Close ends the watch first: nothing brings back what was taken down, and nobody says
// that the bundle stopped when a person stopped it.
func TestCloseBringsNothingBack(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]error{"while it runs": nil, "while it is down": errors.New("no more starts")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine, events := newEngine(t), newHeard()
			engine.refuse = refuse
			running, err := starter(engine, events).Start(t.Context(), spec(t, 1))
			if err != nil {
				t.Fatal(err)
			}
			if refuse != nil {
				engine.kill()
				events.wait(t, "warn it does not come back: restarting bundle demo-aaaaa: starting the container: no more starts")
			}
			told := len(events.lines)
			if err := running.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if refuse == nil && (engine.starts != 1 || len(events.lines) != told) {
				t.Errorf("%d starts, told %q", engine.starts, events.lines)
			}
		})
	}
}
