//go:build integration

package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/control"
	"bottle.internal/internal/egress"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/netguard"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/fakenet"
)

const (
	host        = "api.test"
	public      = "1.2.3.4" // only ever looked up: nothing here dials beyond loopback
	placeholder = "bottle-placeholder"
	bearer      = "real-token-0123456789/+abcdef"
	bodySize    = 1 << 30
)

// internet is one upstream with TLS, and the ways to it. All of them are in this process,
// as the client is.
type internet struct {
	ours     *ca.Authority // of the bottle
	theirs   *ca.Authority // of the upstream
	upstream string        // its address
	port     uint16        // of egress, and so of the route
	seen     chan struct{} // the client has the first event
	real     atomic.Int64  // requests that came with the real credential
}

// way is how a client reaches the upstream.
type way struct {
	what  string
	dial  string // instead of the name; "" with a proxy
	proxy string // address of a proxy that takes CONNECT, or ""
	base  string // the URL's beginning
}

func newInternet(b *testing.B) *internet {
	b.Helper()
	n := &internet{ours: fakenet.Authority(b), theirs: fakenet.Authority(b), seen: make(chan struct{})}
	leaf, err := n.theirs.Leaf(host)
	if err != nil {
		b.Fatal(err)
	}
	n.upstream = serve(b, n.answers(), leaf)
	return n
}

// serve serves TLS, over HTTP/1.1 and HTTP/2, until the benchmark ends.
func serve(b *testing.B, handler http.Handler, leaf ca.Leaf) (address string) {
	b.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{leaf.TLS}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	b.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// answers are those of a model: short ones, streams, and a large body.
func (n *internet) answers() http.Handler {
	short := []byte(strings.Repeat(`{"type":"text","text":"an ordinary answer"},`, 46)) // 2 KiB
	block := make([]byte, 1<<20)
	_, _ = rand.Read(block)
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/messages", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(short) })
	mux.HandleFunc("/v1/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		select { // a way that holds the event back never gets to its end
		case <-n.seen:
			_, _ = io.WriteString(w, "data: last\n\n")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/v1/body", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(bodySize))
		for range bodySize / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+bearer {
			n.real.Add(1)
		}
		mux.ServeHTTP(w, r)
	})
}

func (n *internet) base() string { return fmt.Sprintf("https://%s:%d", host, n.port) }

// direct is the way without anything in between.
func (n *internet) direct() way { return way{what: "direct TLS", dial: n.upstream, base: n.base()} }

// client speaks HTTP/1.1 and keeps its connections.
func (n *internet) client(b *testing.B, w way) *http.Client {
	b.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(n.ours.CertPEM())
	roots.AppendCertsFromPEM(n.theirs.CertPEM())
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: host}, DisableCompression: true, MaxIdleConnsPerHost: 64,
	}
	if w.proxy != "" {
		transport.Proxy = proxied(w.proxy)
	} else {
		transport.DialContext = to(w.dial)
	}
	b.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// open is a client with a connection, that has seen the way do its work.
func (n *internet) open(b *testing.B, w way) *http.Client {
	b.Helper()
	client, before := n.client(b, w), n.real.Load()
	if err := whole(b.Context(), client, w.base+"/v1/messages"); err != nil {
		b.Fatal(err)
	}
	if arrived := n.real.Load() > before; arrived == (w.dial == n.upstream) {
		b.Fatalf("%s: that the real credential arrived is %v", w.what, arrived)
	}
	return client
}

// to dials one address, whatever is asked for.
func to(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
}

func (n *internet) dialer() netguard.Dialer {
	return netguard.Dialer{Resolver: fakenet.Anywhere(public), Connect: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		return to(n.upstream)(ctx, "", "")
	}}
}

// FirstInputs, Inputs and Ask are a host that never has anything new.
func (n *internet) FirstInputs(context.Context) (control.Inputs, error) {
	return nil, errors.New("inputs are applied by hand")
}

// Inputs implements [egress.Channel].
func (n *internet) Inputs() <-chan control.Inputs { return nil }

// Ask implements [egress.Channel].
func (n *internet) Ask(context.Context, string, any, any) error { return errors.New("nobody is there") }

// egress is our way: it checks, puts the credential in, and searches what comes back for it.
func (n *internet) egress(b *testing.B) way {
	b.Helper()
	listener := fakenet.Listen(b)
	n.port = listener.Addr().(*net.TCPAddr).AddrPort().Port()
	server := egress.NewServer(n, journal(b), egress.Settings{
		Dialer: n.dialer(),
		Listen: func(context.Context, uint16) (net.Listener, error) { return listener, nil },
	})
	b.Cleanup(server.Close)
	config, err := egress.Render(egress.Config{
		Placeholder: placeholder, Canaries: []string{"canary-7f3a9c51e2"},
		Routes: []egress.Route{{
			Host: host, Port: n.port, Methods: []string{"GET", "POST"}, Paths: []string{"/v1/"}, Provider: true,
			Auth: &egress.Auth{Header: "Authorization", Scheme: "Bearer"}, UpstreamCA: string(n.theirs.CertPEM()),
		}},
	})
	if err == nil {
		err = server.Apply(control.Inputs{
			egress.ConfigInput: secret.New(string(config)), egress.TokenInput(0): secret.New(bearer),
			egress.CertInput: secret.New(string(n.ours.CertPEM())), egress.KeyInput: n.ours.KeyPEM(),
		})
	}
	if err != nil {
		b.Fatal(err)
	}
	return way{what: "egress", dial: listener.Addr().String(), base: n.base()}
}

// chain is the whole way of an agent, but for the machine: firewall, then egress.
func (n *internet) chain(b *testing.B) way {
	b.Helper()
	behind := n.egress(b)
	server, err := firewall.NewServer(firewall.Config{
		Policy: firewall.Policy{Bottle: "bench", Hosts: []firewall.Host{
			{Host: host, Port: n.port, Scheme: firewall.HTTPS, Mode: firewall.Routed},
		}},
		Dialer: n.dialer(), Log: journal(b), Egress: netip.MustParseAddrPort(behind.dial).Addr(),
	})
	if err != nil {
		b.Fatal(err)
	}
	listener := fakenet.Listen(b)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	b.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return way{what: "firewall and egress", proxy: listener.Addr().String(), base: n.base()}
}

// journal is a log that costs the calls of the kernel that a real one does.
func journal(b *testing.B) io.Writer {
	b.Helper()
	file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = file.Close() })
	return file
}
