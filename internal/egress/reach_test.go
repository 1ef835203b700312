package egress_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"bottle.internal/internal/egress"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/fakenet"
)

// Addresses are judged before they are dialed, and a credential goes to nobody who is not
// the host.
func TestReach(t *testing.T) {
	t.Parallel()
	private, some := bearer("private.test"), bearer("some.test")
	private.Private = true
	some.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	w := newWorld(t, egress.Limits{}, bearer("api.test"), private, some)
	server := w.upstream("api.test", func(_ http.ResponseWriter, r *http.Request) { t.Errorf("reached: %v", r.Header) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fakenet.Serve(t, listener, func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 400 This is no TLS\r\n\r\n") })
	for _, test := range []struct{ host, answers, to, rule, reason string }{
		{"api.test", "127.0.0.1", "", "address", "api.test:443 resolves to a refused address: 127.0.0.1 is loopback"},
		{"api.test", "127.0.0.2", "", "address", "api.test:443 resolves to a refused address: 127.0.0.2 is loopback"},
		{"api.test", "169.254.169.254", "", "address", "api.test:443 resolves to a refused address: 169.254.169.254 is link-local or metadata"},
		{"api.test", "10.0.0.1", "", "address", "api.test:443 resolves to a refused address: 10.0.0.1 is private"},
		{"api.test", "1.2.3.4 10.0.0.1", "", "address", "api.test:443 resolves to a refused address: 10.0.0.1 is private"},
		{"some.test", "10.2.0.1", "", "address", "some.test:443 resolves to a refused address: 10.2.0.1 is private"},
		{"private.test", "127.0.0.1", "", "address", "private.test:443 resolves to a refused address: 127.0.0.1 is loopback"},
		{"api.test", "", "", "resolve", "api.test:443 has no address: no such host"},
		{"api.test", "1.2.3.4", "", "dial", "api.test:443 does not answer: connection refused"},
		{"private.test", "10.0.0.1", "", "dial", "private.test:443 does not answer: connection refused"},
		{"some.test", "10.1.0.1", "", "dial", "some.test:443 does not answer: connection refused"},
		{"private.test", "10.0.0.1", server.Listener.Addr().String(), "tls", "private.test:443: its certificate is not accepted: x509: certificate is valid for api.test, not private.test"},
		{"api.test", "1.2.3.4", listener.Addr().String(), "tls", "api.test:443 does not speak TLS"},
	} {
		if w.place(test.host, test.to, test.answers); test.answers == "" {
			w.net.Name(test.host)
		}
		got := w.do(w.client(false), request(t, "GET", "https://"+test.host+"/", ""))
		if got.status != 502 || got.reason != test.reason {
			t.Errorf("%s at %s: %d %s", test.host, test.answers, got.status, got.reason)
		}
		event := "fail"
		if test.rule == "address" {
			event = "deny"
		}
		w.await(event, func(e entry) bool { return e.Rule == test.rule && e.Reason == test.reason })
	}
}

// A certificate of another authority than the route's is not accepted, not even one that
// the machine trusts, and the other way round.
func TestUpstreamAuthority(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"))
	w.upstream("api.test", func(_ http.ResponseWriter, r *http.Request) { t.Errorf("reached: %v", r.Header) })
	r := bearer("api.test")
	r.UpstreamCA = string(fakenet.Authority(t).CertPEM())
	if err := w.apply(r); err != nil {
		t.Fatal(err)
	}
	got := w.do(w.client(false), request(t, "GET", "https://api.test/", ""))
	if got.status != 502 || !strings.HasPrefix(got.reason, "api.test:443: its certificate is not accepted: x509: certificate signed by unknown authority") {
		t.Errorf("%+v", got)
	}
	// Without one of its own: the system's.
	w.config.Routes[0].UpstreamCA = ""
	data, _ := egress.Render(w.config)
	w.inputs[egress.ConfigInput] = secret.New(string(data))
	if err := w.server.Apply(w.inputs); err != nil {
		t.Fatal(err)
	}
	if got := w.do(w.client(false), request(t, "GET", "https://api.test/", "")); got.status != 502 || !strings.Contains(got.reason, "unknown authority") {
		t.Errorf("%+v", got)
	}
}

func TestUpstreamSpeaksHTTP1(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"))
	server := w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.ProtoMajor, r.RequestURI) })
	server.TLS.NextProtos = []string{"http/1.1"}
	leaf, _ := w.internet.Leaf("api.test")
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{leaf.TLS}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	plain := &http.Server{Handler: server.Config.Handler}
	go func() { _ = plain.Serve(listener) }()
	defer plain.Close()
	w.place("api.test", listener.Addr().String(), "1.2.3.99")
	if got := w.do(w.client(true), request(t, "GET", "https://api.test/a%20b/c:d?x=%2f", "")); got.body != "1/a%20b/c:d?x=%2f" {
		t.Errorf("%+v", got)
	}
}

// The corporate proxy gets CONNECT and nothing of what is inside.
func TestUpstreamProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{})
	to := w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, r.Header.Get("Authorization") == "Bearer "+token)
	}).Listener.Addr().String()
	w.net.Name("api.test", "10.0.0.9") // is not asked for
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heads := make(chan string, 4)
	var denies atomic.Bool
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				heads <- r.Method + " " + r.RequestURI + " " + r.Header.Get("Proxy-Authorization")
				if denies.Load() {
					_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
				upstream, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(upstream, conn); _ = upstream.Close() }()
				_, _ = io.Copy(conn, upstream)
			})
		}
	})
	defer running.Wait()
	defer listener.Close()
	defer w.server.Close()
	w.net.Place("proxy.corp", 3128, listener.Addr().String(), "10.9.9.9")
	w.config.UpstreamProxy = "http://proxy.corp:3128"
	if err := w.apply(bearer("api.test")); err != nil {
		t.Fatal(err)
	}
	w.inputs[egress.ProxyAuthInput] = secret.New("me:secret")
	if err := w.server.Apply(w.inputs); err != nil {
		t.Fatal(err)
	}
	got := w.do(w.client(false), request(t, "GET", "https://api.test/", ""))
	want := "CONNECT api.test:443 Basic " + base64.StdEncoding.EncodeToString([]byte("me:secret"))
	if head := <-heads; got.body != "true" || head != want {
		t.Errorf("%+v\n%s", got, head)
	}
	denies.Store(true)
	if err := w.apply(bearer("api.test")); err != nil { // without the password: a new way
		t.Fatal(err)
	}
	got = w.do(w.client(false), request(t, "GET", "https://api.test/", ""))
	if got.status != 502 || got.reason != "api.test:443 gave no answer: the upstream proxy answered 407" {
		t.Errorf("%+v", got)
	}
	// Loopback is no place for a proxy.
	w.net.Name("proxy.corp", "127.0.0.1")
	w.inputs[egress.ProxyAuthInput] = secret.New("you:secret")
	if err := w.server.Apply(w.inputs); err != nil {
		t.Fatal(err)
	}
	got = w.do(w.client(false), request(t, "GET", "https://api.test/", ""))
	if got.status != 502 || !strings.Contains(got.reason, "127.0.0.1 is loopback") {
		t.Errorf("%+v", got)
	}
}
