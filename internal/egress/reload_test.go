package egress_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/egress"
	"bottle.internal/tests/eventually"
)

func TestReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"), open("gone.test"))
	started, ended := make(chan string, 4), make(chan string, 4)
	block := func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/wait" {
			return
		}
		_, _ = io.WriteString(rw, "x")
		_ = http.NewResponseController(rw).Flush()
		started <- r.Host
		<-r.Context().Done()
		ended <- r.Host
	}
	for _, host := range []string{"api.test", "gone.test", "new.test"} {
		w.upstream(host, block)
	}
	wait := func(host string) (*http.Response, context.CancelFunc) {
		ctx, cancel := context.WithCancel(context.Background())
		response, err := w.client(true).Do(request(t, "GET", "https://"+host+"/wait", "").WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		<-started
		return response, cancel
	}
	kept, end := wait("api.test")
	cut, _ := wait("gone.test")
	keptConn := w.raw("api.test", "")
	goneConn := w.raw("gone.test", "")
	// Inputs that are not understood change nothing.
	for name, want := range map[string]string{
		egress.ConfigInput: "reading egress.json: it ends too early",
		egress.CertInput:   "loading a CA: certificate: it is no PEM",
		egress.KeyInput:    "loading a CA: key: it is no PEM",
	} {
		broken := maps.Clone(w.inputs)
		delete(broken, name)
		if err := w.server.Apply(broken); err == nil || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.apply(bearer("api.test"), open("new.test")); err != nil {
		t.Fatal(err)
	}
	if host := <-ended; host != "gone.test" {
		t.Errorf("%s ended", host)
	}
	if _, err := io.ReadAll(cut.Body); err == nil {
		t.Error("the cut answer looks whole")
	}
	if got := w.do(w.client(false), request(t, "GET", "https://new.test/", "")); got.status != 200 {
		t.Errorf("the new route: %+v", got)
	}
	// A connection that was there before is judged by the new routes.
	for conn, want := range map[*tls.Conn]int{keptConn: 200, goneConn: 421} {
		host := conn.ConnectionState().ServerName
		_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != want {
			t.Errorf("%s: %+v, %v", host, response, err)
		}
	}
	conn, err := net.Dial("tcp", w.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := tls.Client(conn, w.tlsConfig("gone.test")).HandshakeContext(t.Context()); err == nil {
		t.Error("there is still a leaf of the route that is gone")
	}
	// A rule that is narrower now cuts too; so does another way to the host.
	narrow := bearer("api.test")
	narrow.Paths = []string{"/else"}
	if err := w.apply(narrow); err != nil {
		t.Fatal(err)
	}
	if host := <-ended; host != "api.test" {
		t.Errorf("%s ended", host)
	}
	_ = kept.Body.Close()
	end()
	if err := w.apply(bearer("api.test")); err != nil {
		t.Fatal(err)
	}
	response, end := wait("api.test")
	defer end()
	defer response.Body.Close()
	private := bearer("api.test")
	private.Private = true
	if err := w.apply(private); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// Ports come and go with their routes.
func TestPorts(t *testing.T) {
	t.Parallel()
	other := open("api.test")
	other.Port = 8443
	w := newWorld(t, egress.Limits{}, open("api.test"), other)
	first := w.server.Addr(8443)
	if first == nil || w.server.Addr(9999) != nil {
		t.Fatal("8443 is not listened on")
	}
	if err := w.apply(open("api.test")); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", first.String()); err == nil || w.server.Addr(8443) != nil {
		t.Error("8443 is still listened on")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{Exchanges: 1, Head: 2 * time.Second}, bearer("api.test"))
	started := make(chan struct{})
	w.upstream("api.test", func(rw http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(rw).Flush()
		started <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	response, err := w.client(true).Do(request(t, "GET", "https://api.test/", "").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	<-started
	conn := w.raw("api.test", "GET / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 10\r\n\r\n")
	reader := bufio.NewReader(conn)
	got, err := http.ReadResponse(reader, nil)
	if err != nil || got.StatusCode != 503 || got.Header.Get("X-Bottle-Reason") != "1 requests are under way already" {
		t.Fatalf("%+v, %v", got, err)
	}
	// The rest of the body never comes: it is not waited for.
	if _, err := io.Copy(io.Discard, reader); err != nil {
		t.Error(err)
	}
}

// A head that never ends, and a handshake that never begins. A loaded machine has time for a
// handshake that does.
func TestSlowHeads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{Head: 2 * time.Second}, bearer("api.test"))
	silent, err := net.Dial("tcp", w.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_ = silent.SetDeadline(time.Now().Add(eventually.Patience))
	slow := w.raw("api.test", "GET / HTTP/1.1\r\nHost:")
	for _, conn := range []net.Conn{slow, silent} {
		if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) { // a reset is an end too
			t.Error(err)
		}
	}
}

// The connection after the last one is turned away.
func TestConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{Conns: 1}, bearer("api.test"))
	first := w.raw("api.test", "")
	second, err := net.Dial("tcp", w.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if n, err := second.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes", n)
	}
	_ = first.Close()
}

func TestLargeHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, egress.Limits{}, bearer("api.test"))
	conn := w.raw("api.test", "GET / HTTP/1.1\r\nHost: api.test\r\nX-A: ")
	go func() { _, _ = io.WriteString(conn, strings.Repeat("x", 1<<20)) }()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%+v, %v", response, err)
	}
}
