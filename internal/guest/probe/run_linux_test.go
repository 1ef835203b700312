package probe_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/guest/probe"
)

// On a host with a network, every probe finds what it is for: one that could not would
// prove nothing in a guest.
func TestProbesFindWhatIsThere(t *testing.T) {
	t.Parallel()
	stream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	go answer(stream)
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	go func() {
		_, from, err := packets.ReadFrom(make([]byte, 64))
		if err == nil {
			_, _ = packets.WriteTo([]byte("x"), from)
		}
	}()
	m := place(t, map[string]string{
		"sys/class/net/lo": "", "sys/class/net/eth0": "", "run/8888.sock": "", "run/9.sock": "", "run/env": "",
		"proc/net/route": "Iface\tDestination\neth0\t00000000\n",
		"proc/net/tcp":   "  sl  local_address rem_address   st\n   0: 00000000:1F90 00000000:0000 0A\n",
	})
	at := stream.Addr().String()
	for _, test := range []struct {
		p   probe.Probe
		saw string
	}{
		{probe.Probe{Kind: probe.Health, Target: at}, "200 OK"},
		{probe.Probe{Kind: probe.TCP, Target: at}, "reached"},
		{probe.Probe{Kind: probe.UDP, Target: packets.LocalAddr().String()}, "reached"},
		{probe.Probe{Kind: probe.Connect, Target: "x.test:443", Via: at}, "200 OK"},
		{probe.Probe{Kind: probe.Plain, Target: "x.test", Via: at}, "200 OK"},
		{probe.Probe{Kind: probe.DNS, Target: "localhost"}, "reached"},
		{probe.Probe{Kind: probe.Interfaces}, "also eth0"},
		{probe.Probe{Kind: probe.Routes}, "a route over eth0"},
		{probe.Probe{Kind: probe.Listeners}, "open to others: 00000000:1F90"},
		{probe.Probe{Kind: probe.Sockets, Target: "8888.sock"}, "also 9.sock"},
	} {
		if got := m.Try(test.p); !got.Reached || got.Saw != test.saw {
			t.Errorf("%+v: %+v, want %q", test.p, got, test.saw)
		}
	}
	if os.Geteuid() == 0 {
		if got := m.Try(probe.Probe{Kind: probe.ICMP, Target: "127.0.0.1"}); !got.Reached {
			t.Errorf("icmp: %+v", got)
		}
	}
}

func TestProbesWithoutAWayOut(t *testing.T) {
	t.Parallel()
	m := place(t, map[string]string{
		"sys/class/net/lo": "", "run/8888.sock": "", "run/env": "", "proc/net/route": "Iface\tDestination\n",
		"proc/net/ipv6_route": strings.Repeat("0 ", 9) + "lo\n",
		"proc/net/tcp":        "  sl  local_address rem_address   st\n   0: 0100007F:22B8 00000000:0000 0A\n",
	})
	for _, test := range []struct {
		p   probe.Probe
		saw string
	}{
		{probe.Probe{Kind: probe.TCP, Target: "127.0.0.1:1"}, "connection refused"},
		{probe.Probe{Kind: probe.UDP, Target: "127.0.0.1:1"}, "connection refused"},
		{probe.Probe{Kind: probe.Vsock, Target: "x"}, `no vsock address: "x"`},
		{probe.Probe{Kind: probe.Interfaces}, "only lo"},
		{probe.Probe{Kind: probe.Routes}, "no route leaves lo"},
		{probe.Probe{Kind: probe.Listeners}, "1 ports, all on 127.0.0.1"},
		{probe.Probe{Kind: probe.Sockets, Target: "8888.sock,9420.sock"}, "only 8888.sock"},
		{probe.Probe{Kind: "telepathy"}, `there is no probe of kind "telepathy"`},
	} {
		if got := m.Try(test.p); got.Reached || got.Saw != test.saw {
			t.Errorf("%+v: %+v, want %q", test.p, got, test.saw)
		}
	}
}

func place(t *testing.T, files map[string]string) probe.Machine {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return probe.Machine{Proc: filepath.Join(dir, "proc"), Sys: filepath.Join(dir, "sys"), SocketDir: filepath.Join(dir, "run")}
}

func answer(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 1024))
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
		_ = conn.Close()
	}
}

// What asks the bundle waits for it; all else is tried meanwhile.
func TestRunWaitsForTheBundleOnly(t *testing.T) {
	t.Parallel()
	stream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	at := stream.Addr().String()
	probes := []probe.Probe{
		{Name: "through", Kind: probe.Plain, Target: "x.test", Via: at}, {Name: "direct", Kind: probe.Sockets}, {Name: "health", Kind: probe.Health, Target: at},
	}
	m := place(t, map[string]string{"run/1.sock": ""})
	said, err := m.Run(probes, func() error {
		go answer(stream) // nobody accepted before
		return nil
	})
	if err != nil || len(said) != 3 || said[0] != (probe.Observation{Name: "through", Reached: true, Saw: "200 OK"}) ||
		said[1] != (probe.Observation{Name: "direct", Reached: true, Saw: "also 1.sock"}) || !said[2].Reached {
		t.Errorf("Run() = %+v, %v", said, err)
	}

	late := errors.New("nobody answered")
	said, err = m.Run(probes, func() error { return late })
	if !errors.Is(err, late) || said[0].Name != "" || said[1].Saw != "also 1.sock" || said[2].Name != "" {
		t.Errorf("without a bundle: %+v, %v", said, err)
	}
}
