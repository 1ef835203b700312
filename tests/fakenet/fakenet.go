// Package fakenet is the internet of tests: names, their addresses, and listeners of the test
// behind these.
//
// Invariant: nothing here dials beyond the loopback. Addresses are only ever looked up in a map.
package fakenet

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/netguard"
	"bottle.internal/tests/eventually"
)

// Internet resolves and connects in place of the real one.
type Internet struct {
	mu      sync.Mutex
	names   map[string][]string // what the resolver answers, in turn
	lookups map[string]int
	hosts   map[string]string // address:port to a listener
	dialed  []string
}

// New is an internet without a name.
func New() *Internet {
	return &Internet{names: map[string][]string{}, lookups: map[string]int{}, hosts: map[string]string{}}
}

// Dialer is the guard in front of this internet.
func (n *Internet) Dialer() netguard.Dialer { return netguard.Dialer{Resolver: n, Connect: n.Connect} }

// Name gives a name its answers. They come in turn, the last one for ever; each is a list of
// addresses with spaces: "1.2.3.4", "10.0.0.1" is a name that rebinds.
func (n *Internet) Name(name string, answers ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[name] = answers
}

// Address puts the listener at to behind an address and port; "": nobody.
func (n *Internet) Address(addr, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[netip.MustParseAddrPort(addr).String()] = to
}

// Place is a name with the listener at to behind every one of its addresses. Without answers
// it has a public address of its own, which is 1.2.3.4 for the first name.
func (n *Internet) Place(name string, port int, to string, answers ...string) {
	if len(answers) == 0 {
		n.mu.Lock()
		answers = []string{fmt.Sprintf("1.2.3.%d", len(n.names)+4)}
		n.mu.Unlock()
	}
	n.Name(name, answers...)
	for _, answer := range answers {
		for addr := range strings.FieldsSeq(answer) {
			n.Address(netip.AddrPortFrom(netip.MustParseAddr(addr), uint16(port)).String(), to)
		}
	}
}

// LookupNetIP is the resolver.
func (n *Internet) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lookups[host]++
	answers := n.names[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var addrs []netip.Addr
	for text := range strings.FieldsSeq(answers[min(n.lookups[host], len(answers))-1]) {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, nil
}

// Connect is the network.
func (n *Internet) Connect(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	n.dialed = append(n.dialed, addr.String())
	to := n.hosts[addr.String()]
	n.mu.Unlock()
	if to == "" {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", to)
}

// Dialed are the addresses that a connection was wanted to, in order.
func (n *Internet) Dialed() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dialed)
}

// Lookups is how often each name was asked for.
func (n *Internet) Lookups() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.lookups)
}

// Anywhere is a resolver that answers every name with one address.
type Anywhere string

// LookupNetIP implements [netguard.Resolver].
func (a Anywhere) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr(string(a))}, nil
}

// Authority vouches for names.
func Authority(t testing.TB) *ca.Authority {
	t.Helper()
	authority, err := ca.New("test", time.Hour, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// Listen listens on the loopback until the test ends.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// Serve runs handle for each connection, and closes it then. At the end of the test it closes
// the listener and waits for all of them.
func Serve(t testing.TB, listener net.Listener, handle func(net.Conn)) {
	t.Helper()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); running.Wait() })
}

// FreePort is a port of the loopback that nobody listens on. It is below those that the kernel
// gives away by itself: a connection of another test does not take it in the meantime. And no
// listener is opened to find it: a process that another test forks would hold that until its
// exec, and the port would neither be free nor refuse.
func FreePort(t testing.TB) uint16 {
	t.Helper()
	for {
		var draw [2]byte
		_, _ = rand.Read(draw[:])
		port := 15000 + binary.BigEndian.Uint16(draw[:])%16000
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return port
		}
		_ = conn.Close()
	}
}

// FreeAddr is a [FreePort] with the loopback's address.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", FreePort(t))
}

// Send opens a connection to a daemon and writes text.
func Send(t testing.TB, addr, text string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(eventually.Patience))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Ask sends one raw request to a daemon and returns the answer's status, reason and body. A
// tunnel has no end, and so no body.
func Ask(t testing.TB, addr, text string) (status int, reason, body string) {
	t.Helper()
	method, _, _ := strings.Cut(text, " ")
	response, err := http.ReadResponse(bufio.NewReader(Send(t, addr, text)), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.60q: %v", text, err)
	}
	if response.StatusCode == http.StatusOK && method == http.MethodConnect {
		return response.StatusCode, "", ""
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("X-Bottle-Reason"), string(data)
}
