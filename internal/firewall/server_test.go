package firewall_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/firewall"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/fakenet"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test", "b.test"), firewall.Limits{})
	status, _, body := w.ask("GET /health HTTP/1.1\r\nHost: 127.0.0.1:8888\r\n\r\n")
	if status != 200 || body != `{"status":"ok","engine":"builtin","routes":2}`+"\n" {
		t.Errorf("%d %q", status, body)
	}
	w.stop()
	if events := len(w.log.Entries(t)); events != 1 {
		t.Errorf("health checks are in the log:\n%s", w.log.String())
	}
}

func TestDenialTellsWhatToDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	status, reason, body := w.ask(connectTo("evil.test:443"))
	if status != 403 || reason != "evil.test:443 is not in the allowlist of this bottle" {
		t.Errorf("%d %q", status, reason)
	}
	want := "bottle: evil.test:443 is not in the allowlist of this bottle\n" +
		`hint: ask the operator to add a route to bottle.toml: [[bottles.dev.egress.routes]] host = "evil.test"` + "\n"
	if body != want {
		t.Errorf("body %q", body)
	}
	e := w.await("deny", nil)
	if e.Method != "CONNECT" || e.Host != "evil.test" || e.Port != 443 || e.Rule != "allowlist" || e.Reason != reason ||
		e.Status != 403 || e.Millis == nil || e.Time.IsZero() {
		t.Errorf("log: %+v", e)
	}
	if w.net.Lookups()["evil.test"] != 0 || len(w.net.Dialed()) != 0 {
		t.Error("a refused host was looked up or dialed")
	}
}

// What never gets as far as a tunnel: nothing is dialed for any of them.
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	p := https("a.test")
	p.Hosts = append(p.Hosts, firewall.Host{Host: "deb.test", Port: 80, Scheme: firewall.HTTP, Mode: firewall.Plain})
	w := newWorld(t, p, firewall.Limits{})
	for _, name := range []string{"a.test", "deb.test", "evil.test"} {
		w.place(name, 443, fakenet.Listen(t))
	}
	const host = " HTTP/1.1\r\nHost: a.test\r\n"
	for request, want := range map[string]int{
		"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n":                                                           404,
		"GET /stats HTTP/1.1\r\nHost: x\r\n\r\n":                                                           404,
		"GET /fetch?url=http://deb.test/ HTTP/1.1\r\nHost: x\r\n\r\n":                                      404,
		"OPTIONS *" + host + "\r\n":                                                                        403,
		"PRI * HTTP/2.0\r\n\r\n":                                                                           403,
		"CONNECT a.test:80" + host + "\r\n":                                                                403,
		"CONNECT a.test.:443" + host + "\r\n":                                                              403,
		"CONNECT u@a.test:443" + host + "\r\n":                                                             403,
		"CONNECT 127.1:443" + host + "\r\n":                                                                403,
		"CONNECT [::1]:443" + host + "\r\n":                                                                403,
		"CONNECT b\xc3\xbccher.test:443" + host + "\r\n":                                                   403,
		"CONNECT a.test:443/x" + host + "\r\n":                                                             403,
		"CONNECT a.test\x00:443" + host + "\r\n":                                                           400, // net/http: control byte
		"CONNECT a.test:443 x" + host + "\r\n":                                                             400, // net/http: no request line
		"CONNECT a.test:443" + host + "Host: evil.test\r\n\r\n":                                            400, // net/http: two hosts
		"CONNECT a.test:443" + host + "Content-Length: 3\r\n\r\nabc":                                       403,
		"CONNECT a.test:443" + host + "Transfer-Encoding: chunked\r\n\r\n":                                 403,
		"GET http://deb.test/" + host + "Content-Length: 3\r\n\r\nabc":                                     403,
		"GET http://deb.test/" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n":                      403,
		"GET http://deb.test/" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 403,
		"GET http://deb.test/" + host + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd":               400,
		"POST http://deb.test/" + host + "\r\n":                                                            403,
		"GET http://deb.test/a/../b" + host + "\r\n":                                                       400,
		"GET http://deb.test/?token=x" + host + "\r\n":                                                     403,
		"GET http://a.test/health" + host + "\r\n":                                                         403,
		"GET http://127.0.0.1:8888/health" + host + "\r\n":                                                 403,
		"GET https://a.test/" + host + "\r\n":                                                              403,
		"GET ftp://deb.test/" + host + "\r\n":                                                              403,
		"GET /" + strings.Repeat("x", 32<<10) + host + "\r\n":                                              431,
		"GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n":                                 431,
		"nonsense\r\n\r\n": 400,
	} {
		if status, _, _ := w.ask(request); status != want {
			t.Errorf("%.70q: %d, want %d", request, status, want)
		}
	}
	if dialed := w.net.Dialed(); len(dialed) != 0 {
		t.Errorf("dialed %v", dialed)
	}
}

// Nothing behind a refused CONNECT is read, however it came.
func TestNothingFollowsARefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	w.place("a.test", 443, fakenet.Listen(t))
	for _, first := range []string{
		connectTo("evil.test:443"),
		"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n",
		"GET /health HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\n",
	} {
		reader := bufio.NewReader(w.raw(first + connectTo("a.test:443")))
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode == 200 || !response.Close {
			t.Errorf("%.40q: %d, %v", first, response.StatusCode, err)
		}
		if rest, _ := io.ReadAll(reader); len(rest) != 0 {
			t.Errorf("%.40q: then %q", first, rest)
		}
	}
	if len(w.net.Dialed()) != 0 {
		t.Errorf("dialed %v", w.net.Dialed())
	}
}

// A client that asks and never reads is let go.
func TestAnswersAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{Stall: 50 * time.Millisecond, Conns: 1})
	conn := w.raw("")
	flood := []byte(strings.Repeat("GET /health HTTP/1.1\r\nHost: x\r\n\r\n", 1000))
	for {
		_, err := conn.Write(flood)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("it is still waited for")
		}
		if err != nil {
			return // cut
		}
	}
}

func TestSlowHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{Head: 50 * time.Millisecond})
	conn := w.raw("CONNECT a.test:443 HTTP/1.1\r\nHost: a")
	data, err := io.ReadAll(conn) // the end is a reset where not all of it had been read
	if errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(string(data), "200") {
		t.Errorf("%q, %v", data, err)
	}
}

// A client that drips its hello is cut at the one deadline, however steady it drips.
func TestSlowHello(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{Hello: 60 * time.Millisecond})
	w.place("a.test", 443, upstream(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }))
	conn := w.tunnel("a.test:443")
	drip := time.NewTicker(5 * time.Millisecond)
	defer drip.Stop()
	_, err := conn.Write([]byte{22, 3, 1, 2, 0})
	for err == nil {
		<-drip.C
		_, err = conn.Write([]byte{0})
	}
	w.denied("tls", "a.test:443: no client hello within 60ms")
}

func TestTooManyTunnels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{Exchanges: 2})
	w.place("a.test", 443, w.tlsUpstream("a.test", echoConn))
	first := w.secure("a.test:443", "a.test")
	w.secure("a.test:443", "a.test")
	status, reason, _ := w.ask(connectTo("a.test:443"))
	if status != 503 || reason != "2 requests and tunnels are open already" {
		t.Errorf("%d %q", status, reason)
	}
	if status, _, _ := w.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); status != 200 {
		t.Errorf("health while full: %d", status)
	}
	_ = first.Close()
	w.await("close", nil)
	// The slot is given back just after the line.
	eventually.True(t, "room for another", func() bool {
		status, _, _ := w.ask(connectTo("a.test:443"))
		return status == 200
	})
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{Conns: 1})
	held := w.raw("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(held), nil); err != nil {
		t.Fatal(err)
	}
	conn := w.raw("")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != 503 || response.Header.Get("X-Bottle-Reason") != "too many connections" {
		t.Errorf("%+v, %v", response, err)
	}
}

func TestReloadCutsWhatIsTakenAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test", "b.test"), firewall.Limits{})
	w.place("a.test", 443, w.tlsUpstream("a.test", echoConn), "1.2.3.4")
	w.place("b.test", 443, w.tlsUpstream("b.test", echoConn), "1.2.3.5")
	gone, kept := w.secure("a.test:443", "a.test"), w.secure("b.test:443", "b.test")
	if err := w.server.Reload(https("b.test", "c.test")); err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Read(make([]byte, 1)); err == nil {
		t.Error("the tunnel to a.test is still open")
	}
	if e := w.await("close", nil); e.Host != "a.test" || e.Reason != "its route was taken away" {
		t.Errorf("log: %+v", e)
	}
	if _, err := io.WriteString(kept, "x"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(kept, make([]byte, 1)); err != nil {
		t.Errorf("the tunnel to b.test was cut: %v", err)
	}
	if status, _, _ := w.ask(connectTo("a.test:443")); status != 403 {
		t.Errorf("a.test after the reload: %d", status)
	}
	if status, _, _ := w.ask(connectTo("c.test:443")); status != 502 {
		t.Errorf("c.test after the reload: %d", status)
	}
	if err := w.server.Reload(firewall.Policy{Hosts: make([]firewall.Host, 1)}); err == nil {
		t.Error("a policy that is not valid was taken")
	}
	if status, _, _ := w.ask(connectTo("c.test:443")); status != 502 {
		t.Errorf("c.test after the refused reload: %d", status)
	}
}

// The end of the firewall is the end of everything, at once.
func TestStopEndsTunnels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	w.place("a.test", 443, w.tlsUpstream("a.test", echoConn))
	open := w.secure("a.test:443", "a.test")
	silent := w.tunnel("a.test:443")
	idle := w.raw("")
	w.stop()
	for _, conn := range []net.Conn{open, silent, idle} {
		if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("still open: %v", err)
		}
	}
	if e := w.await("close", nil); e.Reason != "the firewall is closing" {
		t.Errorf("log: %+v", e)
	}
}
