package firewall_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/firewall/requestscan"
	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/logtest"
)

// net/http waits half a second with a refused connection that it closes, whatever ends
// the server, so that the client can read the answer.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// secrets is compiled once for all tests.
var secrets requestscan.Scanner

// world is a firewall between a client and an internet of loopback listeners.
type world struct {
	t         *testing.T
	addr      string
	server    *firewall.Server
	authority *ca.Authority
	log       logtest.Buffer
	net       *fakenet.Internet
	stop      func() // ends Serve and waits for it
}

type entry = logtest.Entry

func (w *world) await(event string, want func(entry) bool) entry {
	w.t.Helper()
	return w.log.Await(w.t, event, want)
}

// denied awaits a denial and checks its rule and reason.
func (w *world) denied(rule, reason string) {
	w.t.Helper()
	e := w.await("deny", nil)
	if e.Rule != rule || e.Reason != reason {
		w.t.Errorf("denied by %s: %s\nwant %s: %s", e.Rule, e.Reason, rule, reason)
	}
}

func newWorld(t *testing.T, p firewall.Policy, limits firewall.Limits) *world {
	t.Helper()
	return newWorldWith(t, p, firewall.Config{Limits: limits})
}

func newWorldWith(t *testing.T, p firewall.Policy, config firewall.Config) *world {
	t.Helper()
	w := &world{t: t, authority: fakenet.Authority(t), net: fakenet.New()}
	config.Policy, config.Log, config.Egress, config.Secrets = p, &w.log, netip.MustParseAddr("127.0.0.1"), &secrets
	config.Dialer.Connect = w.net.Connect
	if config.Dialer.Resolver == nil {
		config.Dialer.Resolver = w.net
	}
	var err error
	w.server, err = firewall.NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	listener := fakenet.Listen(t)
	w.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(ctx, listener) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// place puts name on the internet.
func (w *world) place(name string, port int, to net.Listener, answers ...string) {
	w.net.Place(name, port, to.Addr().String(), answers...)
}

// raw opens a connection to the firewall and writes text.
func (w *world) raw(text string) net.Conn {
	w.t.Helper()
	return fakenet.Send(w.t, w.addr, text)
}

func (w *world) ask(text string) (status int, reason, body string) {
	w.t.Helper()
	return fakenet.Ask(w.t, w.addr, text)
}

// tunnel opens a CONNECT tunnel and expects 200.
func (w *world) tunnel(target string) net.Conn {
	w.t.Helper()
	conn := w.raw("CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n")
	want := "HTTP/1.1 200 Connection established\r\n\r\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		w.t.Fatalf("CONNECT %s: %q, %v", target, got, err)
	}
	return conn
}

func (w *world) tlsConfig(name string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.authority.CertPEM())
	return &tls.Config{RootCAs: pool, ServerName: name}
}

// secure opens a tunnel and TLS in it.
func (w *world) secure(target, name string) *tls.Conn {
	w.t.Helper()
	conn := tls.Client(w.tunnel(target), w.tlsConfig(name))
	if err := conn.HandshakeContext(w.t.Context()); err != nil {
		w.t.Fatalf("handshake through %s: %v", target, err)
	}
	return conn
}

func https(hosts ...string) firewall.Policy {
	p := firewall.Policy{Bottle: "dev"}
	for _, host := range hosts {
		p.Hosts = append(p.Hosts, firewall.Host{Host: host, Port: 443, Scheme: firewall.HTTPS, Mode: firewall.Plain})
	}
	return p
}

func connectTo(target string) string {
	return fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target)
}
