//go:build integration

package chain

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/link"
	"bottle.internal/internal/plan"
)

// inside are the places where daemons listen in the container.
func inside() []string {
	return []string{"127.0.0.1:8888", "127.0.0.1:9420", "127.0.0.1:9100", "127.0.0.2:443", "127.0.0.2:9080"}
}

// Nobody without the key gets a byte of a daemon: neither another container, nor this
// host at the bridge's address, nor another user of this host.
func TestStrangers(t *testing.T) {
	b := start(t)
	// The control of every refusal: whatever is asked for is alive, and the gate connects.
	for _, address := range inside() {
		if got := b.exec(t, b.container(), "", "/usr/local/bin/bundle", "dial", address); got != "ok "+address+"\n" {
			t.Fatalf("the control: %s from inside: %s", address, got)
		}
	}
	t.Run("another container of the network", func(t *testing.T) {
		asStranger(t, b, b.container(), func(args ...string) string {
			return b.beside(t, nil, nil, append([]string{"knock"}, args...)...).String()
		})
	})
	t.Run("this host at the bridge's address", func(t *testing.T) {
		address := b.address(t)
		conn, err := net.DialTimeout("tcp", address+":7070", 3*time.Second)
		if err != nil {
			t.Skipf("the containers' network is not this host's: %v", err)
		}
		_ = conn.Close()
		asStranger(t, b, address, func(args ...string) string { return knock(t, nil, args...) })
	})
	t.Run("another user of this host", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("only root can be another user")
		}
		nobody := &execx.User{UID: 65534, GID: 65534}
		gate := b.sidecar.Gate()
		if got, want := knock(t, nobody, gate), gate+": web 0, link 64+0\n"; got != want {
			t.Errorf("the published port says %q, want %q", got, want)
		}
	})
	t.Run("another key", func(t *testing.T) {
		key, err := link.NewKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		_, err = link.DialGate(t.Context(), b.sidecar.Gate(), key, portFirewall)
		if err == nil || !strings.HasSuffix(err.Error(), "the gate has another key") {
			t.Errorf("dialling with it: %v", err)
		}
	})
	t.Run("the published port is on the loopback alone", func(t *testing.T) { testLoopbackOnly(t, b) })
	for _, port := range []uint16{portFirewall, portGit, portSupervise} {
		if got := b.health(port); got.status != http.StatusOK {
			t.Errorf("afterwards port %d: %s", port, got)
		}
	}
}

// asStranger knocks at every port. 64 bytes of the gate are its nonce and its own proof.
func asStranger(t *testing.T, b *bottle, host string, knock func(args ...string) string) {
	t.Helper()
	var args, want []string
	args, want = append(args, host+":7070"), append(want, host+":7070: web 0, link 64+0")
	for _, port := range []int{8888, 9420, 9100, 443, 9080, 9990} {
		args = append(args, fmt.Sprintf("%s:%d", host, port))
		want = append(want, fmt.Sprintf("%s:%d: web connection refused, link connection refused", host, port))
	}
	if got := strings.TrimSpace(knock(args...)); got != strings.Join(want, "\n") {
		t.Errorf("it got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// knock runs the stranger on this host.
func knock(t *testing.T, user *execx.User, args ...string) string {
	t.Helper()
	said, err := execx.Output(t.Context(), execx.Cmd{Path: shared.stranger, Args: append([]string{"knock"}, args...), Dir: "/", User: user})
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

func (b *bottle) inspect(t *testing.T) client.ContainerInspectResult {
	t.Helper()
	result, err := b.engine.ContainerInspect(t.Context(), b.container(), client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// address is that of the container in its network.
func (b *bottle) address(t *testing.T) string {
	t.Helper()
	for _, endpoint := range b.inspect(t).Container.NetworkSettings.Networks {
		return endpoint.IPAddress.String()
	}
	t.Fatal("the container has no network")
	return ""
}

func testLoopbackOnly(t *testing.T, b *bottle) {
	_, port, err := net.SplitHostPort(b.sidecar.Gate())
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil || prefix.Addr().Is6() || prefix.Addr().IsLoopback() {
			continue
		}
		tried++
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(prefix.Addr().String(), port), time.Second)
		if err == nil {
			_ = conn.Close()
			t.Errorf("the gate is published at %s", prefix.Addr())
		}
	}
	t.Logf("%d other addresses of this host", tried)
}

// With the key only the declared ports are there, and the way through the firewall does
// not lead back into the bundle either. Here the firewall's is the one that is declared:
// behind the others somebody listens, so it is the gate that refuses.
func TestUndeclaredPorts(t *testing.T) {
	b := start(t, func(b *bottle) {
		b.plan.Ports = slices.DeleteFunc(b.plan.Ports, func(p plan.Port) bool { return p.Guest != portFirewall })
	})
	for _, address := range inside() {
		if got := b.exec(t, b.container(), "", "/usr/local/bin/bundle", "dial", address); got != "ok "+address+"\n" {
			t.Fatalf("the control: %s from inside: %s", address, got)
		}
	}
	if got := b.byteCount(t, portFirewall); got == 0 {
		t.Fatal("the control: the declared port does not answer")
	}
	for _, port := range []uint16{portGit, portSupervise, 0, 22, 443, 7070, 9080, 9990, 8887, 65535} {
		if got := b.byteCount(t, port); got != 0 {
			t.Errorf("port %d: %d bytes", port, got)
		}
	}
	// A control: this CONNECT is answered by the upstream's side.
	if got := b.connect(t, "plain.bottle.test:443"); !strings.HasPrefix(got, "200 ") {
		t.Fatalf("the control: CONNECT plain.bottle.test: %s", got)
	}
	for _, target := range append(inside(), "127.0.0.1:9990", "127.0.0.1:7070", "localhost:8888", "bundle:7070", "[::1]:8888",
		b.address(t)+":7070", "plain.bottle.test:9990", "api.bottle.test:9080", "egress:443", "0.0.0.0:9080", "[::ffff:127.0.0.2]:9080") {
		if got := b.connect(t, target); !strings.HasPrefix(got, "403 ") {
			t.Errorf("CONNECT %s: %s", target, got)
		}
	}
	for _, path := range []string{"/metrics", "/stats", "/fetch?url=http://127.0.0.1/", "/ws", "/debug/pprof/", "/"} {
		if got := b.plain(t, "GET "+path+" HTTP/1.1"); !strings.HasPrefix(got, "404 ") {
			t.Errorf("GET %s at the firewall: %s", path, got)
		}
	}
	for _, target := range []string{"http://127.0.0.2:9080/health", "http://127.0.0.1:9990/metrics", "http://localhost:9100/health"} {
		if got := b.plain(t, "GET "+target+" HTTP/1.1"); !strings.HasPrefix(got, "403 ") {
			t.Errorf("GET %s: %s", target, got)
		}
	}
}

// byteCount asks a port behind the gate, with the key, and counts what comes back.
func (b *bottle) byteCount(t *testing.T, port uint16) int {
	t.Helper()
	conn, err := b.dial(t.Context(), port)
	if err != nil {
		return 0 // the gate may be gone before the greeting is
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n", port)
	got, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("port %d: the connection stays open", port)
	}
	return len(got)
}

func (b *bottle) connect(t *testing.T, target string) string {
	t.Helper()
	return b.plain(t, "CONNECT "+target+" HTTP/1.1")
}

// plain sends one request line to the firewall, as it is.
func (b *bottle) plain(t *testing.T, requestLine string) string {
	t.Helper()
	conn, err := b.dial(t.Context(), portFirewall)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = fmt.Fprintf(conn, "%s\r\nHost: 127.0.0.1:8888\r\n\r\n", requestLine)
	method, _, _ := strings.Cut(requestLine, " ")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return err.Error()
	}
	_ = response.Body.Close()
	return response.Status
}
