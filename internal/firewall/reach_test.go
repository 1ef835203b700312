package firewall_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"bottle.internal/internal/firewall"
	"bottle.internal/internal/netguard"
)

// Every address of an answer is judged before any is dialed.
func TestAddressesAreJudged(t *testing.T) {
	t.Parallel()
	p := https("a.test", "private.test", "range.test")
	p.Hosts[1].Private = true
	p.Hosts[2].AllowPrivate = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	const refused = " resolves to a refused address: "
	for _, test := range []struct{ host, answer, reason string }{
		{"a.test", "127.0.0.1", "a.test:443" + refused + "127.0.0.1 is loopback"},
		{"a.test", "10.1.0.1", "a.test:443" + refused + "10.1.0.1 is private"},
		{"a.test", "1.2.3.4 10.1.0.1", "a.test:443" + refused + "10.1.0.1 is private"},
		{"a.test", "1.2.3.4 1.2.3.5 ::1", "a.test:443" + refused + "::1 is loopback"},
		{"a.test", "::ffff:1.2.3.4", "a.test:443" + refused + "::ffff:1.2.3.4 is a mapped IPv4"},
		{"a.test", "169.254.169.254", "a.test:443" + refused + "169.254.169.254 is link-local or metadata"},
		{"private.test", "169.254.169.254", "private.test:443" + refused + "169.254.169.254 is link-local or metadata"},
		{"private.test", "127.0.0.1", "private.test:443" + refused + "127.0.0.1 is loopback"},
		{"private.test", "10.1.0.1 127.0.0.1", "private.test:443" + refused + "127.0.0.1 is loopback"},
		{"range.test", "10.2.0.1", "range.test:443" + refused + "10.2.0.1 is private"},
		{"private.test", "10.1.0.1", ""},
		{"private.test", "fd00::1", ""},
		{"private.test", "1.2.3.4", ""},
		{"range.test", "10.1.0.1", ""},
	} {
		w := newWorld(t, p, firewall.Limits{})
		w.place(test.host, 443, w.tlsUpstream(test.host, echoConn), test.answer)
		status, reason, body := w.ask(connectTo(test.host + ":443"))
		want := 403
		if test.reason == "" {
			want = 200
		}
		if status != want || reason != test.reason || strings.Contains(body, "hint") {
			t.Errorf("%s = %s: %d %q, want %d %q", test.host, test.answer, status, reason, want, test.reason)
		}
		if (len(w.net.Dialed()) > 0) != (want == 200) {
			t.Errorf("%s = %s: dialed %v", test.host, test.answer, w.net.Dialed())
		}
		w.stop()
	}
}

// A name that changes its answer after the check gains nothing: there is one look-up,
// and its address is the one that is dialed.
func TestRebinding(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	w.place("a.test", 443, w.tlsUpstream("a.test", echoConn), "1.2.3.4", "127.0.0.1")
	conn := w.secure("a.test:443", "a.test")
	_, _ = io.WriteString(conn, "x")
	_, _ = io.ReadFull(conn, make([]byte, 1))
	if w.net.Lookups()["a.test"] != 1 || !slices.Equal(w.net.Dialed(), []string{"1.2.3.4:443"}) {
		t.Errorf("%d look-ups, dialed %v", w.net.Lookups()["a.test"], w.net.Dialed())
	}
	if status, _, _ := w.ask(connectTo("a.test:443")); status != 403 {
		t.Errorf("after it rebound: %d", status)
	}
}

func TestTriesEachAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("a.test"), firewall.Limits{})
	to := w.tlsUpstream("a.test", echoConn)
	w.place("a.test", 443, to, "2606:4700::1 1.2.3.4 1.2.3.5")
	w.net.Address("1.2.3.4:443", "") // nobody is there
	w.secure("a.test:443", "a.test")
	if !slices.Equal(w.net.Dialed(), []string{"1.2.3.4:443", "1.2.3.5:443"}) {
		t.Errorf("dialed %v", w.net.Dialed())
	}
}

func TestNoWayToTheUpstream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, https("gone.test", "down.test", "many.test", "empty.test"), firewall.Limits{})
	w.net.Name("down.test", "1.2.3.4 1.2.3.5 1.2.3.6 1.2.3.7 1.2.3.8")
	w.net.Name("many.test", strings.Repeat("1.2.3.4 ", 65))
	w.net.Name("empty.test", " ")
	for host, want := range map[string]string{
		"gone.test":  "gone.test has no address: no such host",
		"down.test":  "down.test:443 does not answer: connection refused",
		"many.test":  "many.test has 65 addresses, which is too many",
		"empty.test": "empty.test has no address: the answer is empty",
	} {
		if status, reason, _ := w.ask(connectTo(host + ":443")); status != 502 || reason != want {
			t.Errorf("%s: %d %q", host, status, reason)
		}
	}
	if len(w.net.Dialed()) != 4 {
		t.Errorf("dialed %v", w.net.Dialed())
	}
	if events := w.log.String(); strings.Contains(events, `"deny"`) || strings.Count(events, `"fail"`) != 4 {
		t.Errorf("log:\n%s", events)
	}
}

// A name that is not declared is not even a question to a nameserver, whatever is in its
// labels.
func TestNoQuestionForAnUndeclaredName(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 100)
	server := &dns.Server{Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		asked <- question.Question[0].Name
		_ = w.WriteMsg(new(dns.Msg).SetRcode(question, dns.RcodeNameError))
	})}
	resolver := startDNS(t, server)
	p := https("a.test")
	p.Hosts = append(p.Hosts, firewall.Host{Host: "deb.test", Port: 80, Scheme: firewall.HTTP, Mode: firewall.Plain})
	w := newWorldWith(t, p, firewall.Config{Dialer: netguard.Dialer{Resolver: resolver}})
	for _, host := range []string{
		"c2VjcmV0IGRhdGEgaW4gYSBsYWJlbA.evil.test", "x.a.test", "a.test.evil.test", "deb.test.", "evil.test", "localhost",
		strings.Repeat("a", 63) + ".a.test", strings.Repeat("a.", 126) + "a",
	} {
		_, _, _ = w.ask(connectTo(host + ":443"))
		_, _, _ = w.ask("GET http://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	}
	if status, _, _ := w.ask(connectTo("a.test:443")); status != http.StatusBadGateway {
		t.Errorf("a declared name: %d", status)
	}
	w.stop()
	var names []string
	for len(asked) > 0 {
		names = append(names, <-asked)
	}
	if len(names) == 0 || slices.ContainsFunc(names, func(name string) bool { return name != "a.test." }) {
		t.Errorf("asked for %q", names)
	}
}

// startDNS runs a nameserver on the loopback.
func startDNS(t *testing.T, server *dns.Server) netguard.Nameserver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server.PacketConn = conn
	served := make(chan error, 1)
	go func() { served <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		_ = conn.Close()
		<-served
	})
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	return netguard.Nameserver{File: file, Port: port}
}

// A declared address needs no resolver, and TLS to it has no name (RFC 6066).
func TestDeclaredAddress(t *testing.T) {
	t.Parallel()
	p := https("192.168.7.7")
	p.Hosts[0].Private = true
	w := newWorld(t, p, firewall.Limits{})
	w.place("unused.test", 443, w.tlsUpstream("a.test", echoConn), "192.168.7.7")
	conn := tls.Client(w.tunnel("192.168.7.7:443"), &tls.Config{InsecureSkipVerify: true})
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := tls.Client(w.tunnel("192.168.7.7:443"), &tls.Config{ServerName: "a.test", InsecureSkipVerify: true})
	if err := other.HandshakeContext(t.Context()); err == nil {
		t.Error("a name was sent to an address")
	}
	w.denied("sni", `192.168.7.7:443: the client hello names "a.test" instead`)
	if len(w.net.Lookups()) != 0 {
		t.Errorf("looked up %v", w.net.Lookups())
	}
}
