package firewall_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/firewall/leak"
)

// net/http waits half a second with a refused connection that it closes, whatever ends
// the server, so that the client can read the answer.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// secrets is compiled once for all tests.
var secrets leak.Scanner

// public stands for an address on the internet. It is only ever looked up in a map:
// nothing in these tests dials beyond loopback.
const public = "1.2.3.4"

// world is a firewall between a client and an internet of loopback listeners.
type world struct {
	t         *testing.T
	addr      string
	server    *firewall.Server
	authority *ca.Authority
	log       *logBuffer
	stop      func() // ends Serve and waits for it

	mu      sync.Mutex
	names   map[string][]string // what the resolver answers
	lookups map[string]int
	hosts   map[string]string // address:port of the internet to a loopback listener
	dialed  []string
}

type logBuffer struct {
	mu     sync.Mutex
	data   bytes.Buffer
	notify chan struct{}
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.notify <- struct{}{}:
	default:
	}
	return b.data.Write(p)
}

type entry struct {
	Event, Method, Host, Path, Rule, Reason, Address, Problem string
	Port                                                      int
	Status, Count                                             int
	Up                                                        *int64   `json:"bytes_up"`
	Down                                                      *int64   `json:"bytes_down"`
	Millis                                                    *float64 `json:"duration_ms"`
	Time                                                      time.Time
	Where, Fingerprint                                        string
	Blocked                                                   bool
}

func (b *logBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

func (b *logBuffer) entries(t *testing.T) []entry {
	t.Helper()
	var list []entry
	for text := range strings.Lines(b.text()) {
		var e entry
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatalf("no JSON line: %q", text)
		}
		list = append(list, e)
	}
	return list
}

// await blocks until the log holds such an entry.
func (w *world) await(event string, want func(entry) bool) entry {
	w.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		for _, e := range w.log.entries(w.t) {
			if e.Event == event && (want == nil || want(e)) {
				return e
			}
		}
		select {
		case <-w.log.notify:
		case <-deadline:
			w.t.Fatalf("no %q in the log:\n%s", event, w.log.text())
		}
	}
}

// denied awaits a denial and checks its rule and reason.
func (w *world) denied(rule, reason string) {
	w.t.Helper()
	e := w.await("deny", nil)
	if e.Rule != rule || e.Reason != reason {
		w.t.Errorf("denied by %s: %s\nwant %s: %s", e.Rule, e.Reason, rule, reason)
	}
}

// LookupNetIP is the resolver. Each name's answers come in turn, the last one for ever,
// so that "1.2.3.4|10.0.0.1" is a name that rebinds.
func (w *world) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups[host]++
	answers := w.names[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	answer := answers[min(w.lookups[host], len(answers))-1]
	var addrs []netip.Addr
	for text := range strings.FieldsSeq(answer) {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, nil
}

func (w *world) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, addr.String())
	to := w.hosts[addr.String()]
	w.mu.Unlock()
	if to == "" {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", to)
}

func newWorld(t *testing.T, p firewall.Policy, limits firewall.Limits) *world {
	t.Helper()
	return newWorldWith(t, p, firewall.Config{Limits: limits})
}

func newWorldWith(t *testing.T, p firewall.Policy, config firewall.Config) *world {
	t.Helper()
	authority, err := ca.New("test", time.Hour, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, authority: authority, log: &logBuffer{notify: make(chan struct{}, 1)},
		names: map[string][]string{}, lookups: map[string]int{}, hosts: map[string]string{},
	}
	config.Policy, config.Log, config.Egress, config.Secrets = p, w.log, netip.MustParseAddr("127.0.0.1"), &secrets
	config.Dialer.Connect = w.dial
	if config.Dialer.Resolver == nil {
		config.Dialer.Resolver = w
	}
	w.server, err = firewall.NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	listener := loopback(t)
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

func loopback(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// place puts name on the internet: its answers, and a listener behind public:port.
func (w *world) place(name string, port int, to net.Listener, answers ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(answers) == 0 {
		answers = []string{public}
	}
	w.names[name] = answers
	for _, answer := range answers {
		for addr := range strings.FieldsSeq(answer) {
			w.hosts[netip.AddrPortFrom(netip.MustParseAddr(addr), uint16(port)).String()] = to.Addr().String()
		}
	}
}

// raw opens a connection to the firewall and writes text.
func (w *world) raw(text string) net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// ask sends one raw request and returns the answer's status, reason header and body.
func (w *world) ask(text string) (status int, reason, body string) {
	w.t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(w.raw(text)), &http.Request{Method: strings.Fields(text)[0]})
	if err != nil {
		w.t.Fatalf("%.60q: %v", text, err)
	}
	if response.StatusCode == http.StatusOK && strings.HasPrefix(text, http.MethodConnect) {
		return response.StatusCode, "", "" // a tunnel has no end
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("X-Bottle-Reason"), string(data)
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

func (w *world) dials() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.dialed)
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
