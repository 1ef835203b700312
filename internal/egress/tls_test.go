package egress_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"bottle.internal/internal/egress"
)

func TestHandshakeMustNameARoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"))
	for name, want := range map[string]string{
		"":             "port 443: the handshake names no host (SNI)",
		"evil.test":    "evil.test:443 has no route",
		"x.api.test":   "x.api.test:443 has no route",
		"api.test.com": "api.test.com:443 has no route",
	} {
		conn, err := net.Dial("tcp", w.addr())
		if err != nil {
			t.Fatal(err)
		}
		config := &tls.Config{ServerName: name, InsecureSkipVerify: true}
		if err := tls.Client(conn, config).HandshakeContext(context.Background()); err == nil {
			t.Errorf("%q: the handshake went through", name)
		}
		_ = conn.Close()
		if e := w.await("deny", func(e entry) bool { return e.Reason == want }); e.Rule != "sni" {
			t.Errorf("%q: %+v", name, e)
		}
	}
	if w.raw("API.test", "").ConnectionState().PeerCertificates[0].DNSNames[0] != "api.test" {
		t.Error("the leaf is not the route's")
	}
}

// A session of one route is no way to another, and the name of the connection counts for
// every request on it.
func TestHostIsPinnedOnEveryRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"), open("other.test"))
	w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(rw, r.Host) })
	w.upstream("other.test", func(http.ResponseWriter, *http.Request) { t.Error("another host was reached") })
	conn := w.raw("api.test", "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
	reader := bufio.NewReader(conn)
	for i, want := range []int{200, 421} {
		if i > 0 {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n")
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil || response.StatusCode != want {
			t.Fatalf("request %d: %v, %v", i, response, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
	}
	w.await("deny", func(e entry) bool {
		return e.Rule == "host" && e.Reason == `api.test:443: the request names "other.test" instead`
	})
}

// h2 speaks frames by hand.
type h2 struct {
	t      *testing.T
	framer *http2.Framer
	buffer strings.Builder
	enc    *hpack.Encoder
}

func (w *world) h2(name string) *h2 {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	secure := tls.Client(conn, w.tlsConfig(name, "h2"))
	if err := secure.HandshakeContext(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	_, _ = io.WriteString(secure, http2.ClientPreface)
	c := &h2{t: w.t.(*testing.T), framer: http2.NewFramer(secure, secure)}
	c.enc = hpack.NewEncoder(&c.buffer)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = c.framer.WriteSettings()
	return c
}

// ask sends one request without a body and returns its status, or the code of the reset.
func (c *h2) ask(stream uint32, fields ...string) string {
	c.t.Helper()
	c.buffer.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: []byte(c.buffer.String()), EndStream: true, EndHeaders: true,
	}); err != nil {
		c.t.Fatal(err)
	}
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return "reset " + frame.ErrCode.String()
		case *http2.GoAwayFrame:
			return "goaway " + frame.ErrCode.String()
		}
	}
}

func TestHTTP2AuthorityIsPinned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"), open("other.test"))
	w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(rw, r.Host) })
	w.upstream("other.test", func(http.ResponseWriter, *http.Request) { t.Error("another host was reached") })
	head := func(more ...string) []string {
		return append([]string{":method", "GET", ":scheme", "https", ":path", "/"}, more...)
	}
	for name, test := range map[string]struct {
		fields []string
		want   string
	}{
		"right":             {head(":authority", "api.test"), "200"},
		"another authority": {head(":authority", "other.test"), "421"},
		"no authority":      {head(), "421"},
		"host alone":        {head("host", "other.test"), "421"},
		"host beside it":    {head(":authority", "api.test", "host", "other.test"), "421"},
		"a URL as path":     {[]string{":method", "GET", ":scheme", "https", ":path", "https://other.test/", ":authority", "api.test"}, "400"},
		"double slash":      {[]string{":method", "GET", ":scheme", "https", ":path", "//other.test/", ":authority", "api.test"}, "400"},
		"options star":      {[]string{":method", "OPTIONS", ":scheme", "https", ":path", "*", ":authority", "api.test"}, "400"},
		"connect":           {[]string{":method", "CONNECT", ":authority", "api.test"}, "403"},
		"extended connect": {
			[]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/", ":authority", "api.test"},
			"reset PROTOCOL_ERROR",
		},
		"transfer-encoding": {head(":authority", "api.test", "transfer-encoding", "chunked"), "400"},
		"connection":        {head(":authority", "api.test", "connection", "keep-alive"), "400"},
		"upgrade":           {head(":authority", "api.test", "upgrade", "websocket"), "400"},
		"a header with LF":  {head(":authority", "api.test", "x-a", "b\nc: d"), "reset PROTOCOL_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := w.h2("api.test")
			c.t = t
			if got := c.ask(1, test.fields...); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
