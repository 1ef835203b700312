//go:build integration

package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/elazarl/goproxy"

	"bottle.internal/internal/execx"
	"bottle.internal/tests/fakenet"
)

func proxied(address string) func(*http.Request) (*url.URL, error) {
	return http.ProxyURL(&url.URL{Scheme: "http", Host: address})
}

// onward is how the peers reach the upstream, the same as egress does.
func (n *internet) onward(b *testing.B) *http.Transport {
	b.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(n.theirs.CertPEM())
	transport := &http.Transport{
		DialContext: to(n.upstream), TLSClientConfig: &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true, DisableCompression: true, MaxIdleConnsPerHost: 64,
	}
	b.Cleanup(transport.CloseIdleConnections)
	return transport
}

// reverseProxy ends TLS, puts a credential in and opens TLS: the least that egress does.
func (n *internet) reverseProxy(b *testing.B) way {
	b.Helper()
	leaf, err := n.ours.Leaf(host)
	if err != nil {
		b.Fatal(err)
	}
	address := serve(b, &httputil.ReverseProxy{
		Transport: n.onward(b), FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: host})
			r.Out.Header.Set("Authorization", "Bearer "+bearer)
		},
	}, leaf)
	return way{what: "bare httputil.ReverseProxy", dial: address, base: n.base()}
}

// leaves keeps certificates for goproxy, which it is slow without.
type leaves struct{ sync.Map }

// Fetch implements [goproxy.CertStorage].
func (l *leaves) Fetch(name string, gen func() (*tls.Certificate, error)) (*tls.Certificate, error) {
	if found, ok := l.Load(name); ok {
		return found.(*tls.Certificate), nil
	}
	made, err := gen()
	if err == nil {
		l.Store(name, made)
	}
	return made, err
}

// goproxy is the library of that name in the middle, with the credential put in.
func (n *internet) goproxy(b *testing.B) way {
	b.Helper()
	pair, err := tls.X509KeyPair(n.ours.CertPEM(), []byte(n.ours.KeyPEM().Reveal()))
	if err != nil {
		b.Fatal(err)
	}
	proxy := goproxy.NewProxyHttpServer()
	proxy.Tr, proxy.CertStore, proxy.Logger = n.onward(b), &leaves{}, log.New(io.Discard, "", 0)
	proxy.OnRequest().HandleConnect(goproxy.FuncHttpsHandler(func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		return &goproxy.ConnectAction{Action: goproxy.ConnectMitm, TLSConfig: goproxy.TLSConfigFromCA(&pair)}, host
	}))
	proxy.OnRequest().DoFunc(func(r *http.Request, _ *goproxy.ProxyCtx) (*http.Request, *http.Response) {
		r.Header.Set("Authorization", "Bearer "+bearer)
		return r, nil
	})
	server := httptest.NewServer(proxy)
	b.Cleanup(server.Close)
	return way{what: "goproxy", proxy: server.Listener.Addr().String(), base: n.base()}
}

// mitmproxy is the program of that name; without it the benchmark is skipped.
func (n *internet) mitmproxy(b *testing.B) way {
	b.Helper()
	path, err := execx.Find("mitmdump")
	if err != nil {
		b.Skip(err)
	}
	dir := b.TempDir()
	roots := filepath.Join(dir, "roots.pem")
	authority := append([]byte(n.ours.KeyPEM().Reveal()), n.ours.CertPEM()...)
	for name, data := range map[string][]byte{roots: n.theirs.CertPEM(), filepath.Join(dir, "mitmproxy-ca.pem"): authority} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	listener := fakenet.Listen(b)
	address := listener.Addr().String()
	_ = listener.Close() // it cannot be handed over
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	var said bytes.Buffer
	process, err := execx.Start(ctx, execx.Cmd{
		Path: path, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, Dir: dir, Stdout: &said,
		Args: []string{
			"--quiet", "--listen-host", "127.0.0.1", "--listen-port", port, "--set", "confdir=" + dir,
			"--set", "ssl_verify_upstream_trusted_ca=" + roots, "--modify-headers", "/~q/Authorization/Bearer " + bearer,
		},
	})
	if err != nil {
		cancel()
		b.Fatal(err)
	}
	b.Cleanup(func() {
		cancel()
		_ = process.Wait()
		if b.Failed() {
			b.Log(said.String())
		}
	})
	awaitPort(b, address)
	// It resolves names itself, and its leaf also names what CONNECT did: an address is
	// not what our authority may sign for.
	_, port, err = net.SplitHostPort(n.upstream)
	if err != nil {
		b.Fatal(err)
	}
	return way{what: "mitmdump", proxy: address, base: "https://localhost:" + port}
}

// awaitPort waits until something answers there.
func awaitPort(b *testing.B, address string) {
	b.Helper()
	deadline := time.After(time.Minute)
	for {
		conn, err := to(address)(b.Context(), "", "")
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-deadline:
			b.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
