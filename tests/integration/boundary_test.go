//go:build integration

package integration

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"bottle.internal/pkg/bundle"
)

// bell is a live listener on the host that counts who comes.
type bell struct {
	net.Listener
	rung atomic.Int64
}

func newBell(t *testing.T, address string) *bell {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	b := &bell{Listener: listener}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b.rung.Add(1)
			_, _ = fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbell")
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return b
}

// addresses of the bottle's network.
type addresses struct{ bundle, gateway, gate string }

func (l *live) addresses(t *testing.T) addresses {
	t.Helper()
	settings := l.container(t).Container.NetworkSettings
	endpoint, ok := settings.Networks[bundle.KindNetwork.Name(l.id)]
	if !ok {
		t.Fatalf("the bundle is not in its network: %+v", settings.Networks)
	}
	for _, bindings := range settings.Ports {
		for _, binding := range bindings {
			return addresses{endpoint.IPAddress.String(), endpoint.Gateway.String(), net.JoinHostPort(binding.HostIP.String(), binding.HostPort)}
		}
	}
	t.Fatal("the bundle publishes no port")
	return addresses{}
}

// One of the five: what listens on the host's loopback stays out of reach, while the
// host itself reaches it, and its counter says so.
func TestHostLoopbackIsRefused(t *testing.T) {
	l := theBottle(t)
	a := l.addresses(t)
	loopback, bridge := newBell(t, "127.0.0.1:0"), newBell(t, net.JoinHostPort(a.gateway, "0"))
	for _, b := range []*bell{loopback, bridge} {
		at := b.Addr().String()
		if got := l.probeHost(t, nil, "dial", at); got != at+": connected, 61 bytes" {
			t.Fatalf("the control: %s", got)
		}
		if b.rung.Swap(0) != 1 {
			t.Fatal("the bell does not count")
		}
		if got := l.probeGuest(t, "dial", at); !strings.HasPrefix(got, at+": no connection: ") {
			t.Errorf("directly: %s", got)
		}
		want := fmt.Sprintf("%s: 403 %[1]s is an address: only declared names are allowed", at)
		if got := l.probeGuest(t, "connect", proxy, at); got != want {
			t.Errorf("by CONNECT: %q, want %q", got, want)
		}
		if got := l.probeGuest(t, "plain", proxy, "http://"+at+"/"); !strings.HasPrefix(got, "http://"+at+"/: 403 ") {
			t.Errorf("through the proxy: %s", got)
		}
		if n := b.rung.Load(); n != 0 {
			t.Errorf("%s was reached %d times", at, n)
		}
	}
}

// One of the five: the internal ports are nobody's but the guest's, through its socket.
func TestInternalPorts(t *testing.T) {
	l := theBottle(t)
	a := l.addresses(t)
	firewall, gate := net.JoinHostPort(a.bundle, "8888"), net.JoinHostPort(a.bundle, "7070")
	_, port, _ := net.SplitHostPort(a.gate)
	onBridge := net.JoinHostPort(a.gateway, port)

	t.Run("from the guest", func(t *testing.T) {
		got := l.probeGuest(t, "dial", firewall, gate, a.gate, onBridge)
		for line := range strings.SplitSeq(got, "\n") {
			if !strings.Contains(line, ": no connection: ") {
				t.Error(line)
			}
		}
	})
	t.Run("from a container beside it", func(t *testing.T) {
		up := "up.bottle.test:80"
		if got := l.probeBeside(t, "dial", up); !strings.HasPrefix(got, up+": connected, ") {
			t.Fatalf("the control: %s", got)
		}
		// The gate is there, and says nothing to a stranger; the firewall is not.
		if got := l.probeBeside(t, "dial", gate); got != gate+": connected, 0 bytes" {
			t.Errorf("the gate: %s", got)
		}
		for _, at := range []string{firewall, onBridge} {
			if got := l.probeBeside(t, "dial", at); !strings.HasPrefix(got, at+": no connection: ") {
				t.Error(got)
			}
		}
	})
	t.Run("from the host", func(t *testing.T) {
		if got := l.probeHost(t, nil, "dial", a.gate); got != a.gate+": connected, 0 bytes" {
			t.Error(got)
		}
		for _, at := range []string{firewall, onBridge} {
			if got := l.probeHost(t, nil, "dial", at); !strings.HasPrefix(got, at+": no connection: ") {
				t.Error(got)
			}
		}
	})
	t.Run("from another user of the host", func(t *testing.T) {
		stranger := l.stranger(t)
		if got := l.probeHost(t, stranger, "dial", a.gate); got != a.gate+": connected, 0 bytes" {
			t.Error(got)
		}
		socket := "unix:" + l.socket()
		if got := l.probeHost(t, stranger, "dial", socket); got != socket+": no connection: permission denied" {
			t.Error(got)
		}
		// The control: the owner's own connection is a working way to the firewall.
		if got := l.probeHost(t, nil, "dial", socket); !strings.HasPrefix(got, socket+": connected, ") || strings.HasSuffix(got, " 0 bytes") {
			t.Errorf("the control: %s", got)
		}
	})
}

// stranger makes a command run as nobody; the program is where nobody can read it.
func (l *live) stranger(t *testing.T) func(*exec.Cmd) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	public, err := os.MkdirTemp("/tmp", "bt-public-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(public) })
	program, err := os.ReadFile(l.probe)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(public, "probe")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(public, 0o755); err != nil {
		t.Fatal(err)
	}
	return func(cmd *exec.Cmd) {
		cmd.Path = path
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
}

func (l *live) socket() string { return filepath.Join(l.StateDir(), l.id, "sockets", "8888.sock") }

// Sockets and state are the owner's alone.
func TestOwnerOnly(t *testing.T) {
	l := theBottle(t)
	found := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(l.StateDir(), l.id), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		found[filepath.Base(path)] = true
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		if path == l.socket() && info.Mode().Type() != fs.ModeSocket {
			t.Errorf("%s is no socket: %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{l.id, "sockets", "8888.sock", "supervise", "bundle.log", "plan.json", "status.json"} {
		if !found[name] {
			t.Errorf("%s is not there", name)
		}
	}
	plan, err := os.ReadFile(filepath.Join(l.StateDir(), l.id, "plan.json"))
	if err != nil || strings.Contains(string(plan), secretValue) || !strings.Contains(string(plan), secretName) {
		t.Errorf("the plan has the value, or not its source: %v\n%s", err, plan)
	}
}

// No container's settings hold a value of the environment: the engine writes them to disk.
func TestEngineKeepsNoValue(t *testing.T) {
	l := theBottle(t)
	raw := string(l.container(t).Raw)
	if !strings.Contains(raw, l.id) {
		t.Fatal("the control: the identity is not in it")
	}
	if strings.Contains(raw, secretValue) {
		t.Error("the value is in docker inspect")
	}
}
