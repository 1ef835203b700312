package why_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/control"
	"bottle.internal/internal/egress"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/netguard"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/rules"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/why"
	"bottle.internal/tests/fakenet"
)

// chain is the firewall and egress of a plan, in front of an internet that answers 299.
type chain struct {
	firewall string // address
	roots    *x509.CertPool
}

const fromTheInternet = 299

func newChain(t *testing.T, p plan.Plan) chain {
	t.Helper()
	inside, outside := fakenet.Authority(t), fakenet.Authority(t)
	config, err := rules.Egress(p, p.Egress)
	if err != nil {
		t.Fatal(err)
	}
	inputs := control.Inputs{egress.CertInput: secret.New(string(inside.CertPEM())), egress.KeyInput: inside.KeyPEM()}
	for i := range config.Routes {
		config.Routes[i].UpstreamCA = string(outside.CertPEM())
		inputs[egress.TokenInput(i)] = secret.New("real-token-0123456789")
		if config.Routes[i].Auth == nil {
			delete(inputs, egress.TokenInput(i))
		}
	}
	text, err := egress.Render(config)
	if err != nil {
		t.Fatal(err)
	}
	inputs[egress.ConfigInput] = secret.New(string(text))
	dial := internet(t, outside)
	behind := egress.NewServer(nil, io.Discard, egress.Settings{
		Dialer: netguard.Dialer{Resolver: fakenet.Anywhere("1.2.3.4"), Connect: dial},
		Listen: func(ctx context.Context, port uint16) (net.Listener, error) {
			return (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		},
	})
	t.Cleanup(behind.Close)
	if err := behind.Apply(inputs); err != nil {
		t.Fatal(err)
	}
	policy, err := rules.Firewall(p)
	if err != nil {
		t.Fatal(err)
	}
	front, err := firewall.NewServer(firewall.Config{
		Policy: policy, Dialer: netguard.Dialer{Resolver: fakenet.Anywhere("1.2.3.4"), Connect: dial}, Egress: netip.MustParseAddr("127.0.0.1"), Secrets: &secrets,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := fakenet.Listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = front.Serve(ctx, listener)
	}()
	t.Cleanup(func() { cancel(); <-done })
	c := chain{firewall: listener.Addr().String(), roots: x509.NewCertPool()}
	c.roots.AppendCertsFromPEM(inside.CertPEM())
	c.roots.AppendCertsFromPEM(outside.CertPEM())
	return c
}

// internet is every host on every port: in clear on port 80, in TLS elsewhere.
func internet(t *testing.T, authority *ca.Authority) func(context.Context, netip.AddrPort) (net.Conn, error) {
	t.Helper()
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(fromTheInternet) })
	clear, secure := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	secure.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		leaf, err := authority.Leaf(hello.ServerName)
		return &leaf.TLS, err
	}}
	secure.StartTLS()
	t.Cleanup(clear.Close)
	t.Cleanup(secure.Close)
	return func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		address := secure.Listener.Addr().String()
		if to.Port() == 80 {
			address = clear.Listener.Addr().String()
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
}

// send writes a request to the chain as it is, byte for byte, and returns what refused it.
func (c chain) send(t *testing.T, method, rawURL string) (status int, reason string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", c.firewall)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	scheme, rest, _ := strings.Cut(rawURL, "://")
	authority, path := rest, "/"
	if cut := strings.IndexAny(rest, "/?"); cut >= 0 {
		authority, path = rest[:cut], rest[cut:]
	}
	if scheme != "https" && scheme != "wss" {
		return exchange(t, conn, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, rawURL), method)
	}
	target, extra := authority, ""
	if digits := authority[strings.LastIndexAny(authority, "@]")+1:]; !strings.Contains(digits, ":") {
		target += ":443"
	}
	if scheme == "wss" {
		extra = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	}
	if status, reason := exchange(t, conn, fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", target), http.MethodConnect); status != http.StatusOK {
		return status, reason
	}
	name, _, _ := strings.Cut(authority, ":")
	inner := tls.Client(conn, &tls.Config{RootCAs: c.roots, ServerName: strings.ToLower(name)})
	body := ""
	if method == http.MethodPost {
		extra, body = extra+"Content-Length: 2\r\n", "{}"
	}
	return exchange(t, inner, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n%s", method, path, authority, extra, body), method)
}

func exchange(t *testing.T, conn net.Conn, text, method string) (status int, reason string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatalf("%.80q: %v", text, err)
	}
	// One byte at a time: what follows the answer to CONNECT is the tunnel's.
	response, err := http.ReadResponse(bufio.NewReaderSize(oneByte{conn}, 16), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.80q: %v", text, err)
	}
	_ = response.Body.Close() // a body is short, and of no interest
	return response.StatusCode, response.Header.Get("X-Bottle-Reason")
}

type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, errors.New("nothing to read into")
	}
	return r.Reader.Read(p[:1])
}

// TestTheDaemonsSayTheSame sends each request through the real firewall and the real egress,
// and asks why about it: the verdict, the status and the reason are the same.
func TestTheDaemonsSayTheSame(t *testing.T) {
	t.Parallel()
	port := fmt.Sprint(fakenet.FreePort(t))
	p := planOf(t, strings.ReplaceAll(routes, "8443", port))
	c := newChain(t, p)
	allowed := 0
	for _, question := range questions() {
		method, url, _ := strings.Cut(strings.ReplaceAll(question, "8443", port), " ")
		answer, err := why.Ask(facts(p), why.Request{Method: method, URL: url})
		if err != nil {
			t.Fatal(err)
		}
		step := answer.Decisive()
		status, reason := c.send(t, method, url)
		if status == fromTheInternet {
			allowed++
			if !answer.Allowed {
				t.Errorf("%s: the daemons allow it, why says: %s", question, step.Reason)
			}
			continue
		}
		if answer.Allowed || status != step.Status || reason != step.Reason || reason == "" {
			t.Errorf("%s:\nthe daemons: %d %s\nwhy:         %d %s (allowed: %v)", question, status, reason, step.Status, step.Reason, answer.Allowed)
		}
	}
	if allowed != 12 {
		t.Errorf("%d of the questions were allowed, want 12", allowed)
	}
}

// questions are about routes, with 8443 for the port of those that lead to egress.
func questions() []string {
	return []string{
		// allowed
		"GET https://api.example.com:8443/v1", "POST https://api.example.com:8443/v1/x?a=b", "GET https://API.example.com:8443/v1/a%20b",
		"GET https://api.example.com:8443/v1?", "GET https://read.example.com:8443/", "HEAD https://read.example.com:8443/x",
		"GET wss://live.example.com:8443/", "GET https://plain.example.com/any//thing", "DELETE https://plain.example.com:443/",
		"GET http://mirror.example.com/a", "HEAD http://mirror.example.com:80/a?x=1", "GET https://models.example.com:8443/bottle-placeholder",
		// the firewall's
		"GET https://evil.test/", "GET https://evil.test:8443/", "GET http://evil.test/", "GET https://api.example.com/", "GET https://sub.plain.example.com/",
		"GET https://plain.example.com./", "GET https://user:password@plain.example.com/", "GET https://1.2.3.4/", "GET https://[::1]/", "GET https://0x7f.1/",
		"GET https://b\u00fccher.test/", "GET http://plain.example.com:443/", "GET https://mirror.example.com:80/", "GET https://plain.example.com:0443/",
		"GET https://plain.example.com:/", "POST http://mirror.example.com/a", "GET http://mirror.example.com/a//b", "GET http://mirror.example.com/a/../b",
		"GET http://mirror.example.com/?token=x", "GET ftp://mirror.example.com/", "GET http://mirror.example.com/ghp_" + "0123456789abcdefghijABCDEFGHIJ012345",
		"GET https://ghp_" + "0123456789abcdefghijABCDEFGHIJ012345.test/",
		// egress's
		"DELETE https://api.example.com:8443/v1", "GET https://api.example.com:8443/v10", "GET https://api.example.com:8443/", "GET https://api.example.com:8443/v1/../x",
		"GET https://api.example.com:8443/v1/%2e%2e/x", "GET https://api.example.com:8443/v1//x", "GET https://api.example.com:8443/v1;x", "GET https://api.example.com:8443/v1?a=<b>",
		"GET https://api.example.com:8443/v1?api_key=x", "GET https://api.example.com:8443/v1/x.git/info/refs?service=git-receive-pack", "TRACE https://api.example.com:8443/v1",
		"POST https://api.example.com:8443/v1/access_tokens", "GET wss://api.example.com:8443/v1", "GET https://read.example.com:8443/" + strings.Repeat("a", 2<<10),
		"GET https://read.example.com:8443/bottle-placeholder", "POST https://read.example.com:8443/x?_method=GET", "POST https://models.example.com:8443/?_method=GET",
	}
}
