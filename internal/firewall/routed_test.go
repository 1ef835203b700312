package firewall_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"bottle.internal/internal/firewall"
	"bottle.internal/tests/fakenet"
)

// through is a world in which llm.test goes by way of an egress on the loopback.
func through(t *testing.T, egress net.Listener) (w *world, target string) {
	t.Helper()
	port := egress.Addr().(*net.TCPAddr).AddrPort().Port()
	p := https("a.test")
	p.Hosts = append(p.Hosts, firewall.Host{Host: "llm.test", Port: port, Scheme: firewall.HTTPS, Mode: firewall.Routed})
	w = newWorld(t, p, firewall.Limits{})
	// What the internet says about the name must not matter.
	w.net.Name("llm.test", "1.2.3.4")
	return w, fmt.Sprintf("llm.test:%d", port)
}

func TestRoutedHostGoesToEgress(t *testing.T) {
	t.Parallel()
	w, target := newEgress(t)
	conn := w.secure(target, "llm.test")
	_, _ = io.WriteString(conn, "x")
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if w.net.Lookups()["llm.test"] != 0 || len(w.net.Dialed()) != 0 {
		t.Errorf("looked up %v, dialed %v", w.net.Lookups(), w.net.Dialed())
	}
	_, port, _ := net.SplitHostPort(target)
	if e := w.await("allow", nil); e.Address != "127.0.0.1:"+port {
		t.Errorf("log: %+v", e)
	}
	other := tls.Client(w.tunnel(target), w.tlsConfig("a.test"))
	if err := other.HandshakeContext(t.Context()); err == nil {
		t.Error("egress was reached under another name")
	}
	w.denied("sni", target+`: the client hello names "a.test" instead`)
}

// newEgress is a world whose egress answers TLS as llm.test.
func newEgress(t *testing.T) (w *world, target string) {
	t.Helper()
	helper := newWorld(t, firewall.Policy{}, firewall.Limits{})
	egress := helper.tlsUpstream("llm.test", echoConn)
	w, target = through(t, egress)
	w.authority = helper.authority
	return w, target
}

// Without egress a routed host has no way out at all.
func TestRoutedHostWithoutEgress(t *testing.T) {
	t.Parallel()
	egress := fakenet.Listen(t)
	w, target := through(t, egress)
	_ = egress.Close()
	status, reason, _ := w.ask(connectTo(target))
	if status != 502 || reason != target+": egress does not answer: connect: connection refused" {
		t.Errorf("%d %q", status, reason)
	}
	if w.net.Lookups()["llm.test"] != 0 || len(w.net.Dialed()) != 0 {
		t.Errorf("looked up %v, dialed %v", w.net.Lookups(), w.net.Dialed())
	}
}

// A route that stays but changes is as good as gone for what is under way.
func TestReloadCutsWhatChanges(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*firewall.Host){
		"mode":   func(h *firewall.Host) { h.Mode = firewall.Routed },
		"ranges": func(h *firewall.Host) { h.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
	} {
		w := newWorld(t, https("a.test", "b.test"), firewall.Limits{})
		w.place("a.test", 443, w.tlsUpstream("a.test", echoConn))
		w.place("b.test", 443, w.tlsUpstream("b.test", echoConn), "1.2.3.5")
		changed, kept := w.secure("a.test:443", "a.test"), w.secure("b.test:443", "b.test")
		next := https("a.test", "b.test")
		change(&next.Hosts[0])
		if err := w.server.Reload(next); err != nil {
			t.Fatal(err)
		}
		if _, err := changed.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: the old way is still open", name)
		}
		_, _ = io.WriteString(kept, "x")
		if _, err := io.ReadFull(kept, make([]byte, 1)); err != nil {
			t.Errorf("%s: a route that did not change was cut: %v", name, err)
		}
		w.stop()
	}
}
