package egress_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/control"
	"bottle.internal/internal/egress"
	"bottle.internal/internal/netguard"
	"bottle.internal/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	placeholder = "bottle-placeholder"
	canary      = "canary-7f3a9c51e2"
	token       = "real-token-0123456789/+abcdef"
)

// world is egress between an agent and an internet of loopback listeners.
type world struct {
	t         testing.TB
	bottle    *ca.Authority // what the agent trusts
	internet  *ca.Authority // what the routes trust
	server    *egress.Server
	log       *logBuffer
	inputs    control.Inputs
	config    egress.Config
	questions chan json.RawMessage
	answer    func(route int) (string, error)

	mu     sync.Mutex
	names  map[string]string // what the resolver answers
	hosts  map[string]string // address:port of the internet to a loopback listener
	dialed []string
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
	Route                                                     *int
	Port                                                      int
	Status, Count                                             int
	Blocked                                                   *bool
	Where, Fingerprint                                        string
	Up                                                        *int64   `json:"bytes_up"`
	Down                                                      *int64   `json:"bytes_down"`
	Millis                                                    *float64 `json:"duration_ms"`
	Missing                                                   []int    `json:"missing_tokens"`
	Listen                                                    []string
	Routes                                                    *int
}

func (b *logBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

func (w *world) entries() []entry {
	w.t.Helper()
	var list []entry
	for text := range strings.Lines(w.log.text()) {
		var e entry
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			w.t.Fatalf("no JSON line: %q", text)
		}
		list = append(list, e)
	}
	return list
}

// await blocks until the log holds such an entry.
func (w *world) await(event string, want func(entry) bool) entry {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		for _, e := range w.entries() {
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

// LookupNetIP is the resolver.
func (w *world) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var addrs []netip.Addr
	for text := range strings.FieldsSeq(w.names[host]) {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
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

func (w *world) dials() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.dialed)
}

// FirstInputs, Inputs and Ask are the channel to the host.
func (w *world) FirstInputs(context.Context) (control.Inputs, error) { return w.inputs, nil }

func (w *world) Inputs() <-chan control.Inputs { return nil }

func (w *world) Ask(_ context.Context, kind string, body, answer any) error {
	raw, err := json.Marshal(body)
	if err != nil || kind != "token" {
		return fmt.Errorf("asked for %s: %w", kind, err)
	}
	var question struct{ Route int }
	if err := json.Unmarshal(raw, &question); err != nil {
		return err
	}
	w.questions <- raw
	text, err := w.answer(question.Route)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(fmt.Sprintf(`{"token":%q}`, text)), answer)
}

func newAuthority(t testing.TB) *ca.Authority {
	t.Helper()
	authority, err := ca.New("test", time.Hour, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

func newWorld(t testing.TB, limits egress.Limits, routes ...egress.Route) *world {
	t.Helper()
	w := &world{
		t: t, bottle: newAuthority(t), internet: newAuthority(t), log: &logBuffer{notify: make(chan struct{}, 1)},
		names: map[string]string{}, hosts: map[string]string{}, questions: make(chan json.RawMessage, 16),
		answer: func(int) (string, error) { return "", errors.New("no answer") },
	}
	w.config = egress.Config{Placeholder: placeholder, Canaries: []string{canary}}
	w.server = egress.NewServer(w, w.log, egress.Settings{
		Dialer: netguard.Dialer{Resolver: w, Connect: w.dial}, Limits: limits,
		Listen: func(ctx context.Context, _ uint16) (net.Listener, error) {
			var config net.ListenConfig
			return config.Listen(ctx, "tcp", "127.0.0.1:0")
		},
	})
	t.Cleanup(w.server.Close)
	if err := w.apply(routes...); err != nil {
		t.Fatal(err)
	}
	return w
}

// apply makes routes the configuration; each with auth gets the token, and all trust the
// world's internet.
func (w *world) apply(routes ...egress.Route) error {
	w.t.Helper()
	w.config.Routes = nil
	inputs := control.Inputs{egress.CertInput: secret.New(string(w.bottle.CertPEM())), egress.KeyInput: w.bottle.KeyPEM()}
	for i, r := range routes {
		if r.UpstreamCA == "" {
			r.UpstreamCA = string(w.internet.CertPEM())
		}
		w.config.Routes = append(w.config.Routes, r)
		if r.Auth != nil {
			inputs[egress.TokenInput(i)] = secret.New(token)
		}
	}
	data, err := egress.Render(w.config)
	if err != nil {
		return err
	}
	inputs[egress.ConfigInput] = secret.New(string(data))
	w.inputs = inputs
	return w.server.Apply(inputs)
}

func open(host string) egress.Route {
	return egress.Route{Host: host, Port: 443, Methods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, Paths: []string{"/"}}
}

func bearer(host string) egress.Route {
	r := open(host)
	r.Auth, r.Provider = &egress.Auth{Header: "Authorization", Scheme: "Bearer"}, true
	return r
}

// place puts name on the internet, at an address of its own unless told otherwise. Addresses
// are only ever looked up in a map: nothing in these tests dials beyond loopback.
func (w *world) place(name, to string, answers ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(answers) == 0 {
		answers = []string{fmt.Sprintf("1.2.3.%d", len(w.names)+4)}
	}
	w.names[name] = strings.Join(answers, " ")
	for _, answer := range answers {
		w.hosts[answer+":443"] = to
	}
}

// upstream serves handler over HTTP/1.1 and HTTP/2 as the host.
func (w *world) upstream(host string, handler http.HandlerFunc) *httptest.Server {
	w.t.Helper()
	leaf, err := w.internet.Leaf(host)
	if err != nil {
		w.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{leaf.TLS}}
	server.Config.DisableGeneralOptionsHandler = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	w.t.Cleanup(server.Close)
	w.place(host, server.Listener.Addr().String())
	return server
}
