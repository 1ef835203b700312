package firewall_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/firewall"
	"bottle.internal/tests/fakenet"
)

func plain(t *testing.T, limits firewall.Limits, handler http.HandlerFunc) *world {
	t.Helper()
	w := newWorld(t, firewall.Policy{Hosts: []firewall.Host{{Host: "deb.test", Port: 80, Scheme: firewall.HTTP, Mode: firewall.Plain}}}, limits)
	w.place("deb.test", 80, httpUpstream(t, handler))
	return w
}

// The upstream gets the exact path, the host of the URL, and only harmless headers.
func TestForward(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	w := plain(t, firewall.Limits{}, func(rw http.ResponseWriter, r *http.Request) {
		var names []string
		for name := range r.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		got <- fmt.Sprintf("%s %s %s %v", r.Method, r.RequestURI, r.Host, names)
		rw.Header().Set("X-Bottle-Reason", "forged")
		rw.Header().Set("X-End", "1")
		rw.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(rw, "body")
	})
	conn := w.raw("GET http://DEB.test/pool/g%2b%2b?v=1&u HTTP/1.1\r\nHost: evil.test\r\nRange: bytes=0-\r\n" +
		"Authorization: Bearer s3cret\r\nCookie: s3cret\r\nProxy-Authorization: s3cret\r\nX-Api-Key: s3cret\r\n" +
		"Connection: Range, Upgrade\r\nUpgrade: websocket\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusTeapot || string(body) != "body" {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	for name, want := range map[string]string{"X-End": "1", "X-Bottle-Reason": ""} {
		if response.Header.Get(name) != want {
			t.Errorf("%s = %q", name, response.Header.Get(name))
		}
	}
	if upstream := <-got; upstream != "GET /pool/g%2b%2b?v=1&u deb.test [Connection Range]" {
		t.Errorf("the upstream saw %s", upstream)
	}
	allowed, closed := w.await("allow", nil), w.await("close", nil)
	if allowed.Method != "GET" || allowed.Host != "deb.test" || allowed.Port != 80 || allowed.Path != "/pool/g%2b%2b" {
		t.Errorf("log: %+v", allowed)
	}
	if closed.Status != http.StatusTeapot || *closed.Down != 4 {
		t.Errorf("log: %+v", closed)
	}
	if text := w.log.String(); strings.Contains(text, "s3cret") || strings.Contains(text, "v=1") {
		t.Errorf("headers or a query are in the log:\n%s", text)
	}
}

func TestForwardKeepsTheConnection(t *testing.T) {
	t.Parallel()
	w := plain(t, firewall.Limits{}, func(rw http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(rw, r.URL.Path) })
	conn := w.raw("GET http://deb.test/1 HTTP/1.1\r\nHost: deb.test\r\n\r\nHEAD http://deb.test/2 HTTP/1.1\r\nHost: deb.test\r\n\r\n" +
		"GET http://evil.test/3 HTTP/1.1\r\nHost: deb.test\r\n\r\nGET http://deb.test/4 HTTP/1.1\r\nHost: deb.test\r\n\r\n")
	reader := bufio.NewReader(conn)
	for i, want := range []string{"GET 200 /1", "HEAD 200 ", "GET 403 bottle: evil.test:80 is not in the allowlist of this bottle\n"} {
		method, want, _ := strings.Cut(want, " ")
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			t.Fatal(i, err)
		}
		body, _ := io.ReadAll(response.Body)
		if got := fmt.Sprintf("%d %s", response.StatusCode, body); !strings.HasPrefix(got, want) {
			t.Errorf("%d: %q", i, got)
		}
	}
	// Nothing behind a refused request is read.
	if rest, _ := io.ReadAll(reader); len(rest) != 0 {
		t.Errorf("rest %q", rest)
	}
}

func TestForwardStreams(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	w := plain(t, firewall.Limits{}, func(rw http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			_, _ = fmt.Fprintf(rw, "event %d\n", i)
			_ = http.NewResponseController(rw).Flush()
			<-next
		}
	})
	conn := w.raw("GET http://deb.test/ HTTP/1.1\r\nHost: deb.test\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(response.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("event %d", i) {
			t.Fatalf("%d: %q, %v", i, lines.Text(), lines.Err())
		}
		next <- struct{}{}
	}
}

// An answer that is cut must look cut.
func TestForwardPassesOnABreak(t *testing.T) {
	t.Parallel()
	w := plain(t, firewall.Limits{}, func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, "half") // in chunks: only the last one says that it is whole
		_ = http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	})
	conn := w.raw("GET http://deb.test/ HTTP/1.1\r\nHost: deb.test\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); err == nil || string(body) != "half" {
		t.Errorf("%q, %v", body, err)
	}
	if e := w.await("close", nil); e.Reason != "the upstream broke off" {
		t.Errorf("log: %+v", e)
	}
}

func TestForwardIdle(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := plain(t, firewall.Limits{Idle: time.Second}, func(rw http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(rw).Flush()
		<-release
	})
	conn := w.raw("GET http://deb.test/ HTTP/1.1\r\nHost: deb.test\r\n\r\n")
	_, _ = io.ReadAll(conn)
	close(release)
	if e := w.await("close", nil); e.Reason != "it was idle for too long" {
		t.Errorf("log: %+v", e)
	}
}

// Answers that are no answers: nothing of them reaches the client.
func TestForwardRefusesBadAnswers(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n": "deb.test:80 answered with an upgrade that nobody asked for",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n":                     "",
		"SSH-2.0-x\r\n": "",
	} {
		w := newWorld(t, firewall.Policy{Hosts: []firewall.Host{{Host: "deb.test", Port: 80, Scheme: firewall.HTTP, Mode: firewall.Plain}}}, firewall.Limits{})
		w.place("deb.test", 80, upstream(t, func(conn net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, answer)
		}))
		status, reason, _ := w.ask("GET http://deb.test/ HTTP/1.1\r\nHost: deb.test\r\n\r\n")
		if status != 502 || want != "" && reason != want {
			t.Errorf("%.30q: %d %q", answer, status, reason)
		}
		w.stop()
	}
}

func TestForwardGuardsAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, firewall.Policy{Hosts: []firewall.Host{{Host: "deb.test", Port: 80, Scheme: firewall.HTTP, Mode: firewall.Plain}}}, firewall.Limits{})
	w.place("deb.test", 80, fakenet.Listen(t), "10.0.0.1")
	status, reason, _ := w.ask("GET http://deb.test/ HTTP/1.1\r\nHost: deb.test\r\n\r\n")
	if status != 403 || reason != "deb.test:80 resolves to a refused address: 10.0.0.1 is private" || len(w.net.Dialed()) != 0 {
		t.Errorf("%d %q, dialed %v", status, reason, w.net.Dialed())
	}
	if strings.Contains(w.log.String(), `"allow"`) {
		t.Errorf("log:\n%s", w.log.String())
	}
}

func TestForwardDropsHopHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, firewall.Policy{Hosts: []firewall.Host{{Host: "deb.test", Port: 80, Scheme: firewall.HTTP, Mode: firewall.Plain}}}, firewall.Limits{})
	w.place("deb.test", 80, upstream(t, func(conn net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nContent-Length: 0\r\nX-Hop: 1\r\nUpgrade: h2c\r\nX-End: 1\r\n\r\n")
	}))
	conn := w.raw("GET http://deb.test/ HTTP/1.1\r\nHost: deb.test\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	h := response.Header
	if h.Get("X-End") != "1" || h.Get("X-Hop") != "" || h.Get("Upgrade") != "" {
		t.Errorf("headers %v", h)
	}
}
