//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/cluster"
	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/gate"
	"bottle.internal/internal/link"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/fakenet"
)

func listenHere(t *testing.T) (listener net.Listener, port string) {
	t.Helper()
	listener = fakenet.Listen(t)
	return listener, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

// The overseer's host, a gate that gets its key from it, and a daemon behind the gate. (A relay
// listens on the daemon's own port number, in another Pod; here both would be on one loopback.)
func TestTheWayThroughACluster(t *testing.T) {
	t.Parallel()
	daemon, daemonPort := listenHere(t)
	fakenet.Serve(t, daemon, func(conn net.Conn) { _, _ = io.WriteString(conn, "the firewall") })
	number, _ := strconv.ParseUint(daemonPort, 10, 16)
	key, err := link.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	inputs, err := gate.Inputs(key, []uint16{uint16(number)})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, daemons.Gate), 0o700); err != nil {
		t.Fatal(err)
	}
	host := cluster.NewHost(cluster.Config{
		Dir: dir, Daemons: []daemons.Daemon{{Name: daemons.Gate, UID: os.Getuid()}},
		Inputs: map[string]control.Inputs{daemons.Gate: inputs}, Log: func(text string) { t.Log(text) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended, gateEnded := make(chan error, 1), make(chan struct{})
	go func() { ended <- host.Serve(ctx) }()
	gatePort := fmt.Sprint(fakenet.FreePort(t))
	go func() {
		defer close(gateEnded)
		channel, err := cluster.Open(ctx, dir, daemons.Gate)
		if err == nil {
			_ = gate.Run(ctx, channel, "127.0.0.1:"+gatePort) // at the end, its host may go first
			_ = channel.Close()
		}
	}()
	gateAddress := "127.0.0.1:" + gatePort
	eventually.Fine(t, eventually.Patience, func() string {
		said, err := throughGate(t, gateAddress, key, uint16(number))
		if err != nil {
			return err.Error()
		}
		if said != "the firewall" {
			t.Errorf("the daemon said %q", said)
		}
		return ""
	})
	other, err := link.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if said, err := throughGate(t, gateAddress, other, uint16(number)); err == nil {
		t.Errorf("with another key: %q", said)
	}
	cancel()
	<-gateEnded
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// throughGate is what a relay does for one connection.
func throughGate(t *testing.T, address string, key link.Key, port uint16) (string, error) {
	t.Helper()
	conn, err := link.DialGate(t.Context(), address, key, port)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	return string(text), err
}

func TestRelayNeedsAKeyAndPorts(t *testing.T) {
	t.Parallel()
	short := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(whole, []byte(strings.Repeat("k", link.KeySize)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ key, args, want string }{
		{whole, "10.0.0.1 7070", "want the address and port of the gate, and ports"},
		{whole, "10.0.0.1 7070 0", `"0" is no port`},
		{whole, "10.0.0.1 7070 x", `"x" is no port`},
		{short, "10.0.0.1 7070 8888", "a link key has 32 bytes, not 5"},
		{"/nonexistent/key", "10.0.0.1 7070 8888", "reading the link key: open /nonexistent/key: no such file or directory"},
	} {
		if err := relay(t.Context(), test.key, strings.Fields(test.args)); fmt.Sprint(err) != test.want {
			t.Errorf("relay %s = %v, want %s", test.args, err, test.want)
		}
	}
}

// A relay carries connections of anybody in its Pod to the gate, with the key that it has.
func TestRelay(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Repeat("k", link.KeySize))
	key, err := link.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, gatePort := listenHere(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// A gate that knows no daemon at that port admits nobody; that it was greeted with the
	// right key is what its count shows.
	port := fmt.Sprint(fakenet.FreePort(t))
	number, _ := strconv.ParseUint(port, 10, 16)
	g := link.NewGate()
	g.Open(key, []uint16{uint16(number)})
	served := make(chan struct{})
	go func() { defer close(served); g.Serve(ctx, listener) }()
	ended := make(chan error, 1)
	go func() { ended <- relay(ctx, keyFile, []string{"127.0.0.1", gatePort, port}) }()
	eventually.True(t, "the gate admits", func() bool {
		var dialer net.Dialer
		if conn, err := dialer.DialContext(t.Context(), "tcp", "127.0.0.1:"+port); err == nil {
			_, _ = io.WriteString(conn, "x")
			_ = conn.(*net.TCPConn).CloseWrite()
			_ = conn.Close()
		}
		return g.Stats().Admitted > 0
	})
	cancel()
	<-served
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestSealed(t *testing.T) {
	t.Parallel()
	_, alive := listenHere(t)
	dead := fmt.Sprint(fakenet.FreePort(t))
	const here = "127.0.0.1 "
	for _, test := range []struct{ name, args, want string }{
		{"closed", here + dead + " " + here + alive, "<nil>"},
		{"open", here + alive + " " + here + alive, "127.0.0.1:" + alive + " can be reached from here: this cluster does not enforce the network policies, so no agent is started"},
		{"no network at all", here + dead + " " + here + dead, "the gate at 127.0.0.1:" + dead + " cannot be reached within 50ms"},
		{"no address", "$(KUBERNETES_SERVICE_HOST) 443 " + here + alive, `"$(KUBERNETES_SERVICE_HOST)" is no address: was the Service there before this Pod?`},
		{"no gate", here + dead + " $(BOTTLE_SERVICE_HOST) 7070", `"$(BOTTLE_SERVICE_HOST)" is no address: was the Service there before this Pod?`},
		{"half", here + dead, "want ALIVE-ADDRESS PORT GATE-ADDRESS PORT"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := sealed(t.Context(), strings.Fields(test.args), patience{whole: 50 * time.Millisecond, try: eventually.Patience, pause: time.Millisecond})
			if fmt.Sprint(err) != test.want {
				t.Errorf("sealed = %v, want %s", err, test.want)
			}
		})
	}
}

func TestServeWantsADaemon(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{"": "want the name of a daemon", "sh": `there is no daemon "sh"`, "gate egress": "want the name of a daemon"} {
		if err := serve(t.Context(), t.TempDir(), strings.Fields(args), io.Discard); fmt.Sprint(err) != want {
			t.Errorf("serve %s = %v, want %s", args, err, want)
		}
	}
}
