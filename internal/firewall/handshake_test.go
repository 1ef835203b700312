package firewall_test

import (
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"testing"
	"time"

	"bottle.internal/internal/firewall"
	"bottle.internal/internal/firewall/clienthello"
)

func retry(t *testing.T) []byte {
	t.Helper()
	random, err := hex.DecodeString("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
	if err != nil {
		t.Fatal(err)
	}
	return answerWith(random)
}

// A real retry: the client's first key share is for a group that the server does not have.
func TestRetriedHandshake(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	leaf, err := w.authority.Leaf("a.test")
	if err != nil {
		t.Fatal(err)
	}
	w.place("a.test", 443, upstream(t, func(conn net.Conn) {
		server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{leaf.TLS}, CurvePreferences: []tls.CurveID{tls.CurveP521}})
		_, _ = io.Copy(server, server)
		if !server.ConnectionState().HelloRetryRequest {
			t.Error("nothing was retried: the test tests nothing")
		}
	}))
	conn := w.secure("a.test:443", "a.test")
	_, _ = io.WriteString(conn, "hello")
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Error(err)
	}
	_ = conn.Close()
}

// The second hello of a retry goes in clear, and could name another host.
func TestSecondHelloMustNameTheHost(t *testing.T) {
	t.Parallel()
	early := []byte{20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 4, 'd', 'a', 't', 'a'}
	for name, test := range map[string]struct {
		second       []byte
		rule, reason string
	}{
		"the same host":            {realHello(t, "a.test"), "", ""},
		"the same, in other cases": {realHello(t, "A.test"), "", ""},
		"another host":             {realHello(t, "evil.test"), "sni", `a.test:443: the client hello names "evil.test" instead`},
		"no host":                  {realHello(t, ""), "sni", "a.test:443: the client hello names no host (SNI)"},
		"no hello":                 {[]byte("GET / HTTP/1.1\r\n\r\n"), "tls", "a.test:443: the client hello is malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, https("a.test"), firewall.Limits{})
			received := make(chan int, 1)
			w.place("a.test", 443, upstream(t, func(conn net.Conn) {
				_, _ = clienthello.Read(conn)
				_, _ = conn.Write(retry(t))
				data, _ := io.ReadAll(conn)
				received <- len(data)
			}))
			conn := w.tunnel("a.test:443")
			// All at once: a client that lies does not wait to be asked.
			_, _ = conn.Write(append(append(realHello(t, "a.test"), early...), test.second...))
			if test.rule != "" {
				w.denied(test.rule, test.reason)
			} else {
				_ = conn.(*net.TCPConn).CloseWrite()
			}
			want := len(early)
			if test.rule == "" {
				want += len(test.second)
			}
			if got := <-received; got != want {
				t.Errorf("%d bytes after the first hello reached the upstream, want %d", got, want)
			}
		})
	}
}

// Nothing that follows the hello goes out before the upstream has answered it with TLS.
func TestUpstreamMustAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer string
		reason string
	}{
		"with silence":    {"", "the upstream did not answer the client hello in time"},
		"with plain http": {"HTTP/1.1 400 Bad Request\r\n\r\n", "the upstream does not answer with TLS"},
		"with early data": {"\x17\x03\x03\x00\x01x", "the upstream does not answer with TLS"},
		"with a hello":    {"\x16\x03\x03\x00\x05\x01\x00\x00\x01x", "the upstream does not answer with TLS"},
	} {
		limits := firewall.Limits{}
		if test.answer == "" {
			limits.Answer = 100 * time.Millisecond
		}
		w := newWorld(t, https("a.test"), limits)
		received := make(chan int, 1)
		w.place("a.test", 443, upstream(t, func(conn net.Conn) {
			_, _ = clienthello.Read(conn)
			_, _ = io.WriteString(conn, test.answer)
			data, _ := io.ReadAll(conn)
			received <- len(data)
		}))
		conn := w.tunnel("a.test:443")
		_, _ = conn.Write(append(realHello(t, "a.test"), "what follows"...))
		if data, _ := io.ReadAll(conn); len(data) != 0 {
			t.Errorf("%s: the client got %q", name, data)
		}
		if e := w.await("close", nil); e.Reason != test.reason {
			t.Errorf("%s: closed because %s", name, e.Reason)
		}
		if n := <-received; n != 0 {
			t.Errorf("%s: %d bytes went out", name, n)
		}
		w.stop()
	}
}

// An alert is an answer: the client must see why the server does not want it.
func TestAlertIsPassedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	w.place("a.test", 443, upstream(t, func(conn net.Conn) {
		_, _ = clienthello.Read(conn)
		_, _ = io.WriteString(conn, "\x15\x03\x01\x00\x02\x02\x28")
	}))
	err := tls.Client(w.tunnel("a.test:443"), w.tlsConfig("a.test")).HandshakeContext(t.Context())
	if err == nil || err.Error() != "remote error: tls: handshake failure" {
		t.Error(err)
	}
}
