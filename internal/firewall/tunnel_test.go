package firewall_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"bottle.internal/internal/firewall"
	"bottle.internal/internal/firewall/clienthello"
)

func TestTunnel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	w.place("a.test", 443, w.tlsUpstream("a.test", echoConn))
	conn := w.secure("A.test:443", "a.test")
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Fatalf("%q, %v", got, err)
	}
	allowed := w.await("allow", nil)
	if allowed.Host != "a.test" || allowed.Port != 443 || allowed.Address != "1.2.3.4:443" || allowed.Method != "CONNECT" || allowed.Up != nil {
		t.Errorf("log: %+v", allowed)
	}
	_ = conn.Close()
	closed := w.await("close", nil)
	if closed.Up == nil || *closed.Up < 200 || closed.Down == nil || *closed.Down < 500 || closed.Millis == nil || closed.Reason == "" {
		t.Errorf("log: %+v", closed)
	}
}

func TestTLSMustNameTheHost(t *testing.T) {
	t.Parallel()
	hello := func(name string) func(net.Conn) {
		return func(conn net.Conn) {
			config := &tls.Config{ServerName: name, InsecureSkipVerify: true}
			err := tls.Client(conn, config).Handshake()
			if err == nil || err.Error() != "remote error: tls: access denied" {
				t.Errorf("client with %q: %v, want an alert", name, err)
			}
		}
	}
	for name, test := range map[string]struct {
		client       func(net.Conn)
		rule, reason string
	}{
		"another name": {hello("evil.test"), "sni", `a.test:443: the client hello names "evil.test" instead`},
		"a subdomain":  {hello("x.a.test"), "sni", `a.test:443: the client hello names "x.a.test" instead`},
		"no name":      {hello(""), "sni", "a.test:443: the client hello names no host (SNI)"},
		"plain http": {func(conn net.Conn) {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
			if data, _ := io.ReadAll(conn); len(data) != 0 {
				t.Errorf("plain http got %q", data)
			}
		}, "tls", "a.test:443: the first bytes are not TLS"},
		"connect in connect": {func(conn net.Conn) {
			_, _ = io.WriteString(conn, connectTo("evil.test:443"))
			_, _ = io.ReadAll(conn)
		}, "tls", "a.test:443: the first bytes are not TLS"},
		"cut hello": {func(conn net.Conn) {
			_, _ = conn.Write([]byte{22, 3, 1, 1, 0, 1})
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.ReadAll(conn)
		}, "tls", "a.test:443: the connection ended before the client hello"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, https("a.test"), firewall.Limits{})
			received := make(chan int64, 1)
			w.place("a.test", 443, upstream(t, func(conn net.Conn) {
				n, _ := io.Copy(io.Discard, conn)
				received <- n
			}))
			conn := w.tunnel("a.test:443")
			test.client(conn)
			w.denied(test.rule, test.reason)
			_ = conn.Close()
			if n := <-received; n != 0 {
				t.Errorf("%d bytes reached the upstream", n)
			}
		})
	}
}

// The client may send its hello right behind CONNECT.
func TestEarlyHello(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	w.place("a.test", 443, w.tlsUpstream("a.test", echoConn))
	conn := w.raw("")
	conn = &eager{Conn: conn, head: []byte(connectTo("a.test:443"))}
	client := tls.Client(conn, w.tlsConfig("a.test"))
	if _, err := io.WriteString(client, "early"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(client, got); err != nil || string(got) != "early" {
		t.Fatalf("%q, %v", got, err)
	}
}

// eager puts head in front of the first write and skips the answer to CONNECT.
type eager struct {
	net.Conn
	head   []byte
	reader *bufio.Reader
}

func (e *eager) Write(p []byte) (int, error) {
	if e.head != nil {
		_, err := e.Conn.Write(slices.Concat(e.head, p))
		e.head = nil
		return len(p), err
	}
	return e.Conn.Write(p)
}

func (e *eager) Read(p []byte) (int, error) {
	if e.reader == nil {
		e.reader = bufio.NewReader(e.Conn)
		if _, err := http.ReadResponse(e.reader, &http.Request{Method: http.MethodConnect}); err != nil {
			return 0, err
		}
	}
	return e.reader.Read(p)
}

// The end of one side is passed on as an end of that side only. TLS is left out behind
// the hello: its close alert would say the same.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	w.place("a.test", 443, upstream(t, func(conn net.Conn) {
		_, _ = clienthello.Read(conn)
		_, _ = conn.Write(serverHello())
		question, _ := io.ReadAll(conn) // up to the client's half-close
		_, _ = fmt.Fprintf(conn, "answer to %s", question)
	}))
	conn := w.tunnel("a.test:443")
	_, _ = conn.Write(append(realHello(t, "a.test"), "question"...))
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	skip(t, conn, serverHello())
	answer, err := io.ReadAll(conn)
	if err != nil || string(answer) != "answer to question" {
		t.Errorf("%q, %v", answer, err)
	}
	if e := w.await("close", nil); e.Reason != "both sides ended" {
		t.Errorf("log: %+v", e)
	}
}

// The hello is a real one, the bytes behind it are not: TLS would only slow this down.
func TestHundredMegabytesBothWays(t *testing.T) {
	t.Parallel()
	const size = 100 << 20
	w := newWorld(t, https("a.test"), firewall.Limits{})
	sums := make(chan string, 1)
	w.place("a.test", 443, upstream(t, func(conn net.Conn) {
		if _, err := clienthello.Read(conn); err != nil {
			t.Error(err)
		}
		_, _ = conn.Write(serverHello())
		sums <- exchangePattern(t, conn, size)
	}))
	conn := w.tunnel("a.test:443")
	if _, err := conn.Write(realHello(t, "a.test")); err != nil {
		t.Fatal(err)
	}
	skip(t, conn, serverHello())
	down := exchangePattern(t, conn, size)
	want := sha256.New()
	_, _ = io.Copy(want, io.LimitReader(newPattern(), size))
	if up := <-sums; up != hexSum(want) || down != hexSum(want) {
		t.Error("bytes were changed on the way")
	}
	if e := w.await("close", nil); *e.Down != size+int64(len(serverHello())) || *e.Up < size || e.Reason != "both sides ended" {
		t.Errorf("log: up %d, down %d, %s", *e.Up, *e.Down, e.Reason)
	}
}

// exchangePattern sends and receives size bytes at once and half-closes.
func exchangePattern(t *testing.T, conn net.Conn, size int64) (received string) {
	var sending sync.WaitGroup
	sending.Go(func() {
		if n, err := io.Copy(conn, io.LimitReader(newPattern(), size)); n != size || err != nil {
			t.Errorf("sent %d bytes, %v", n, err)
		}
		_ = conn.(*net.TCPConn).CloseWrite()
	})
	sum := sha256.New()
	if n, err := io.Copy(sum, conn); n != size || err != nil {
		t.Errorf("received %d bytes, %v", n, err)
	}
	sending.Wait()
	return hexSum(sum)
}

// serverHello is as much of one as the firewall looks at; retry asks for another hello.
func serverHello() []byte { return answerWith(make([]byte, 32)) }

func answerWith(random []byte) []byte {
	return slices.Concat([]byte{22, 3, 3, 0, 38, 2, 0, 0, 34, 3, 3}, random)
}

// skip reads what must come first.
func skip(t *testing.T, conn net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%x, %v; want %x", got, err, want)
	}
}

// realHello is the first flight of crypto/tls.
func realHello(t *testing.T, name string) []byte {
	t.Helper()
	client, server := net.Pipe()
	var running sync.WaitGroup
	running.Go(func() {
		_ = tls.Client(client, &tls.Config{ServerName: name, InsecureSkipVerify: true}).HandshakeContext(t.Context())
	})
	hello, err := clienthello.Read(server)
	if err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	running.Wait()
	_ = client.Close()
	return hello.Raw
}

func hexSum(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

// pattern is bytes without an end, with a period that no buffer has.
type pattern struct {
	block []byte
	at    int
}

func newPattern() io.Reader {
	p := &pattern{block: make([]byte, 65521)}
	for i := range p.block {
		p.block[i] = byte(i * i >> 3)
	}
	return p
}

func (p *pattern) Read(out []byte) (int, error) {
	n := copy(out, p.block[p.at:])
	p.at = (p.at + n) % len(p.block)
	return n, nil
}

func TestManyTunnelsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	w.place("a.test", 443, w.tlsUpstream("a.test", echoConn))
	var clients sync.WaitGroup
	for i := range 60 {
		clients.Go(func() {
			conn := w.secure("a.test:443", "a.test")
			text := strings.Repeat(fmt.Sprint(i, " "), 2000)
			_, _ = io.WriteString(conn, text)
			got := make([]byte, len(text))
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
				t.Errorf("tunnel %d: %v", i, err)
			}
			_ = conn.Close()
		})
	}
	clients.Wait()
}
