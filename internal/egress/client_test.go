package egress_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func (w *world) tlsConfig(name string, protocols ...string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.bottle.CertPEM())
	return &tls.Config{RootCAs: pool, ServerName: name, NextProtos: protocols}
}

func (w *world) addr() string { return w.server.Addr(443).String() }

// client is an agent's, which reaches every host at egress.
func (w *world) client(http2 bool) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.bottle.CertPEM())
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "tcp", w.addr())
		},
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: http2,
		ExpectContinueTimeout: 10 * time.Second,
	}
	if !http2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// raw opens TLS to egress and writes text.
func (w *world) raw(name, text string) *tls.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	secure := tls.Client(conn, w.tlsConfig(name))
	if err := secure.HandshakeContext(context.Background()); err != nil {
		w.t.Fatalf("handshake: %v", err)
	}
	if _, err := io.WriteString(secure, text); err != nil {
		w.t.Fatal(err)
	}
	return secure
}

type reply struct {
	status int
	reason string
	body   string
	header http.Header
	proto  int
	trail  http.Header
}

func (w *world) do(client *http.Client, r *http.Request) reply {
	w.t.Helper()
	response, err := client.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatalf("%s %s: reading: %v", r.Method, r.URL, err)
	}
	return reply{
		response.StatusCode, response.Header.Get("X-Bottle-Reason"), string(data), response.Header, response.ProtoMajor, response.Trailer,
	}
}

func request(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// chunked sends a body whose length is not announced.
func chunked(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r := request(t, method, url, "")
	r.Body, r.ContentLength = io.NopCloser(body), -1
	return r
}
