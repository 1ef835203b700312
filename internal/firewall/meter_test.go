package firewall_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/firewall"
	"bottle.internal/internal/firewall/clienthello"
)

// sink takes whatever comes after the hello.
func sink(conn net.Conn) {
	_, _ = clienthello.Read(conn)
	_, _ = conn.Write(serverHello())
	_, _ = io.Copy(io.Discard, conn)
}

// pour sends up to size bytes into a tunnel and says how it went.
func pour(t *testing.T, w *world, host string, size int64) error {
	t.Helper()
	conn := w.tunnel(host + ":443")
	if _, err := conn.Write(realHello(t, host)); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, make([]byte, len(serverHello()))); err != nil {
		return err
	}
	if n, err := io.CopyN(conn, newPattern(), size); err != nil {
		return fmt.Errorf("after %d bytes: %w", n, err)
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	_, err := io.ReadAll(conn)
	return err
}

func TestHostBudget(t *testing.T) {
	t.Parallel()
	const budget = 300 << 10
	w := newWorld(t, https("a.test", "b.test"), firewall.Limits{HostBytes: budget})
	w.place("a.test", 443, upstream(t, sink), "1.2.3.4")
	w.place("b.test", 443, upstream(t, sink), "1.2.3.5")
	if err := pour(t, w, "a.test", 200<<10); err != nil {
		t.Fatal(err)
	}
	const full = "this host took all the bytes that one host may take in a run"
	_ = pour(t, w, "a.test", 200<<10) // cut somewhere on the way
	w.await("close", func(e entry) bool { return e.Reason == full })
	status, reason, _ := w.ask(connectTo("a.test:443"))
	if status != http.StatusForbidden || reason != "a.test:443: "+full {
		t.Errorf("%d %q", status, reason)
	}
	if err := pour(t, w, "b.test", 200<<10); err != nil {
		t.Errorf("another host: %v", err)
	}
	w.stop()
	total := w.await("totals", func(e entry) bool { return e.Host == "a.test" })
	if *total.Up > budget || *total.Up < budget-(32<<10) || total.Count != 2 {
		t.Errorf("totals: %d bytes, %d requests", *total.Up, total.Count)
	}
}

func TestBottleBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test", "b.test"), firewall.Limits{BottleBytes: 300 << 10})
	w.place("a.test", 443, upstream(t, sink), "1.2.3.4")
	w.place("b.test", 443, upstream(t, sink), "1.2.3.5")
	if err := pour(t, w, "a.test", 200<<10); err != nil {
		t.Fatal(err)
	}
	const full = "this bottle sent all the bytes that it may send in a run"
	_ = pour(t, w, "b.test", 200<<10)
	w.await("close", func(e entry) bool { return e.Reason == full && e.Host == "b.test" })
	if status, reason, _ := w.ask(connectTo("a.test:443")); status != http.StatusForbidden || reason != "a.test:443: "+full {
		t.Errorf("%d %q", status, reason)
	}
}

// A plain URL carries data out as well.
func TestPlainRequestsCount(t *testing.T) {
	t.Parallel()
	w := plain(t, firewall.Limits{HostBytes: 3000}, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok") })
	request := "GET http://deb.test/?" + strings.Repeat("x", 1000) + " HTTP/1.1\r\nHost: deb.test\r\n\r\n"
	for i, want := range []int{200, 200, 403, 403} {
		if status, reason, _ := w.ask(request); status != want {
			t.Errorf("request %d: %d %q", i, status, reason)
		}
	}
	w.stop()
	if total := w.await("totals", nil); *total.Up != 2*1022 || *total.Down != 4 || total.Host != "deb.test" || total.Port != 80 {
		t.Errorf("totals: %d up, %d down", *total.Up, *total.Down)
	}
}

func TestRequestsPerMinute(t *testing.T) {
	t.Parallel()
	w := plain(t, firewall.Limits{PerMinute: 3}, func(http.ResponseWriter, *http.Request) {})
	for i, want := range []int{200, 200, 200, 429} {
		status, reason, _ := w.ask("GET http://deb.test/ HTTP/1.1\r\nHost: deb.test\r\n\r\n")
		if status != want || want == 429 && reason != "deb.test:80: 3 requests in a minute are too many" {
			t.Errorf("request %d: %d %q", i, status, reason)
		}
	}
}

// Totals are written again only for a destination that moved.
func TestTotalsAreReported(t *testing.T) {
	t.Parallel()
	w := plain(t, firewall.Limits{Totals: time.Millisecond}, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok") })
	for i := range 3 {
		_, _, _ = w.ask("GET http://deb.test/ HTTP/1.1\r\nHost: deb.test\r\n\r\n")
		w.await("totals", func(e entry) bool { return e.Count == i+1 && *e.Down == int64(2*(i+1)) })
	}
	w.stop()
	// A request and its answer may fall into two reports.
	if n := strings.Count(w.log.String(), `"totals"`); n > 3*3 {
		t.Errorf("%d reports of three requests", n)
	}
}
