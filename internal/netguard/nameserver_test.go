package netguard_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"

	"bottle.internal/internal/netguard"
)

// The nameserver is asked, and the hosts file, which has localhost, is not.
func TestNameserver(t *testing.T) {
	t.Parallel()
	resolver := serveDNS(t, map[string][]string{
		"a.test.":    {"1.2.3.4", "2606:4700::1"},
		"localhost.": {"5.6.7.8"},
	})
	for host, want := range map[string]string{
		"a.test": "[1.2.3.4 2606:4700::1]", "localhost": "[5.6.7.8]",
	} {
		addrs, err := resolver.LookupNetIP(t.Context(), "ip", host)
		if got := fmt.Sprint(addrs); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", host, got, err, want)
		}
	}
	var problem *net.DNSError
	if _, err := resolver.LookupNetIP(t.Context(), "ip", "gone.test"); !errors.As(err, &problem) || !problem.IsNotFound {
		t.Errorf("a name that is not there: %v", err)
	}
}

// One look-up decides: all of its addresses are judged, and those are dialed.
func TestDial(t *testing.T) {
	t.Parallel()
	ten := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for _, test := range []struct {
		answer []string
		opened []netip.Prefix
		want   string
	}{
		{[]string{"1.2.3.4"}, nil, "1.2.3.4:443"},
		{[]string{"1.2.3.4", "10.1.0.1"}, nil, "a.test resolves to a refused address: 10.1.0.1 is private"},
		{[]string{"10.1.0.1"}, ten, "10.1.0.1:443"},
		{[]string{"127.0.0.2"}, ten, "a.test resolves to a refused address: 127.0.0.2 is loopback"},
	} {
		dialer := netguard.Dialer{
			Resolver: serveDNS(t, map[string][]string{"a.test.": test.answer}),
			Connect: func(context.Context, netip.AddrPort) (net.Conn, error) {
				client, _ := net.Pipe()
				return client, nil
			},
		}
		_, addr, err := dialer.Dial(t.Context(), "a.test", 443, test.opened)
		got := addr.String()
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%v: %q, want %q", test.answer, got, test.want)
		}
	}
}

// serveDNS is a nameserver on the loopback and a resolver that knows only it.
func serveDNS(t *testing.T, names map[string][]string) netguard.Nameserver {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		reply := new(dns.Msg).SetReply(question)
		asked := question.Question[0]
		if names[asked.Name] == nil {
			reply.Rcode = dns.RcodeNameError
		}
		for _, text := range names[asked.Name] {
			if addr := netip.MustParseAddr(text); addr.Is4() == (asked.Qtype == dns.TypeA) {
				record, err := dns.NewRR(fmt.Sprintf("%s 0 IN %s %s", asked.Name, dns.TypeToString[asked.Qtype], addr))
				if err != nil {
					t.Error(err)
				}
				reply.Answer = append(reply.Answer, record)
			}
		}
		_ = w.WriteMsg(reply)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.ShutdownContext(context.WithoutCancel(t.Context())) })
	_, port, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return netguard.Nameserver{File: file, Port: port}
}
