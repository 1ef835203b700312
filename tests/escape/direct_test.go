//go:build integration && linux

package escape

import (
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/sys/unix"

	"bottle.internal/internal/guest/probe"
)

// quic is the form of a QUIC Initial packet: long header, version 1, padded to 1200 bytes.
func quic() string {
	return "\xc0\x00\x00\x00\x01\x08bottle00\x00\x00\x44\x9e" + strings.Repeat("\x00", 1180)
}

// machine looks for ways that are in the guest itself.
func machine(t *testing.T, s *scene) {
	looked := func(what string) func() (string, error) {
		return func() (string, error) { return what, nil }
	}
	toOutside := "198.51.100.1:443"
	s.attempts(t, []attempt{
		{name: "interfaces beside lo", attack: attack{Probe: probe.Probe{Kind: probe.Interfaces}}, root: true, control: hostHas(probe.Interfaces)},
		{name: "routes that leave lo", attack: attack{Probe: probe.Probe{Kind: probe.Routes}}, root: true, control: hostHas(probe.Routes)},
		{name: "packet socket: a frame on a link", attack: attack{Probe: probe.Probe{Kind: probe.Packet}}, root: true, control: hostHas(probe.Packet)},
		{name: "sockets that were not given", attack: attack{Probe: probe.Probe{Kind: probe.Sockets, Target: "8888.sock,9100.sock,9420.sock"}}, root: true, control: looked("the machine was made with these")},
		{
			name: "raw socket: UDP of another sender to " + toOutside, root: true,
			attack:  attack{Probe: probe.Probe{Kind: "rawip", Target: toOutside}},
			control: packetTo(t, toOutside), counter: "outside udp 443",
		},
		{name: "the firewall", attack: attack{Probe: probe.Probe{Kind: probe.Health, Target: proxy}}, reaches: true, control: looked("none needed")},
	})
	s.vsock(t)
}

// hostHas makes the same look on this host, which has a network.
func hostHas(kind probe.Kind) func() (string, error) {
	return func() (string, error) {
		said := probe.Machine{Proc: "/proc", Sys: "/sys"}.Try(probe.Probe{Kind: kind})
		if !said.Reached {
			return "", fmt.Errorf("this host: %s", said.Saw)
		}
		return "this host: " + said.Saw, nil
	}
}

// vsock tries ports of the host. A listener of ours is the control, where the host has
// vsock; the ports of the VM tool itself have none.
func (s *scene) vsock(t *testing.T) {
	port, control, why := vsockBell(t)
	ports := []uint32{22, 80, 1024, 1025, 2375, 5000, 6000, 8888, 9420, 9999, port}
	var list []attempt
	for _, cid := range []uint32{0, 1, 2} {
		for _, p := range ports {
			list = append(list, attempt{name: fmt.Sprintf("%d:%d", cid, p), root: true, attack: attack{Probe: probe.Probe{Kind: probe.Vsock, Target: fmt.Sprintf("%d:%d", cid, p)}}})
		}
	}
	said := s.try(t, true, list)
	r := row{probe: fmt.Sprintf("AF_VSOCK to hypervisor, itself, host: %d ports each", len(ports)), control: control, expected: "blocked"}
	problem := ""
	answers := map[string]bool{}
	for _, o := range said {
		answers[o.Saw] = true
		if o.Reached && !strings.HasPrefix(o.Name, "1:") {
			problem = o.Name + " was reached"
		}
	}
	for text := range answers {
		r.observed = strings.TrimPrefix(r.observed+", "+text, ", ")
	}
	if why != "" {
		r.control, r.expected = "none: "+why, "blocked (uncontrolled)"
	}
	table.add(t, r, problem)
}

// vsockBell listens for any machine, and proves itself over the host's own loopback.
func vsockBell(t *testing.T) (port uint32, control, why string) {
	t.Helper()
	const fallback = 7777
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fallback, "", "this host has no vsock: " + err.Error()
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: unix.VMADDR_PORT_ANY}); err != nil {
		return fallback, "", "this host has no vsock: " + err.Error()
	}
	bound, err := unix.Getsockname(fd)
	if err != nil || unix.Listen(fd, 16) != nil {
		return fallback, "", "nothing can listen on vsock here"
	}
	port = bound.(*unix.SockaddrVM).Port
	client, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return port, "", err.Error()
	}
	defer unix.Close(client)
	if err := unix.Connect(client, &unix.SockaddrVM{CID: unix.VMADDR_CID_LOCAL, Port: port}); err != nil {
		return port, "", "this host has no vsock loopback: " + err.Error()
	}
	return port, "the host reached its own listener", ""
}

// direct dials what is outside without the proxy.
func direct(t *testing.T, s *scene) {
	var list []attempt
	add := func(name, kind, target, counter string, control func() (string, error), say ...string) {
		list = append(list, attempt{
			name: name, root: true, counter: counter, control: control,
			attack: attack{Probe: probe.Probe{Kind: probe.Kind(kind), Target: target}, Say: say},
		})
	}
	mine, others := s.addresses(t, s.id), s.addresses(t, s.other)
	for _, where := range []struct{ what, address string }{
		{"host loopback", "127.0.0.1:0"}, {"host loopback v6", "[::1]:0"}, {"host, own bridge", mine.gateway + ":0"}, {"host, another's bridge", others.gateway + ":0"},
	} {
		for _, kind := range []string{"tcp", "udp"} {
			at, counter, control := s.bell(t, kind, where.address)
			add(where.what+" "+kind+" "+at, kind, at, counter, control)
		}
	}
	local := httptest.NewServer(registry.New())
	t.Cleanup(local.Close)
	at := strings.TrimPrefix(local.URL, "http://")
	add("the local registry "+at, "tcp", at, "", dialed(at))
	add("own gate "+mine.gate, "tcp", mine.gate, "", dialed(mine.gate))
	add("another bottle's gate "+others.gate, "tcp", others.gate, "", dialed(others.gate))
	add("own bundle "+mine.bundle+":7070", "tcp", mine.bundle+":7070", "", dialed(mine.bundle+":7070"))
	add("another bottle's bundle "+others.bundle+":7070", "tcp", others.bundle+":7070", "", dialed(others.bundle+":7070"))
	s.neighboursSocket(t)
	for _, p := range places() {
		for _, port := range []string{"80", "443", "53"} {
			at := net.JoinHostPort(p.address, port)
			add(p.what+" tcp "+at, "tcp", at, "outside tcp "+port, dialed(at))
		}
		at := net.JoinHostPort(p.address, "53")
		add(p.what+" udp "+at, "udp", at, "outside udp 53", packetTo(t, at))
		at = net.JoinHostPort(p.address, "443")
		add(p.what+" QUIC "+at, "datagram", at, "outside udp 443", packetTo(t, at), quic())
		if !strings.Contains(p.address, ":") {
			add(p.what+" ICMP "+p.address, "icmp", p.address, "outside icmp", pinged(p.address))
		}
	}
	s.attempts(t, list)
}

// pinged sends an echo request from this host.
func pinged(address string) func() (string, error) {
	return func() (string, error) {
		if os.Getuid() != 0 {
			return "", errors.New("only root can ping here")
		}
		said := probe.Machine{}.Try(probe.Probe{Kind: probe.ICMP, Target: address})
		if !said.Reached {
			return "", fmt.Errorf("from the host: %s", said.Saw)
		}
		return "answered the host", nil
	}
}

// neighboursSocket looks for the socket of the other bottle by every name that it has.
func (s *scene) neighboursSocket(t *testing.T) {
	path := s.StateDir() + "/" + s.other + "/sockets/8888.sock"
	conn, err := net.DialTimeout("unix", path, 3*time.Second)
	r := row{probe: "another bottle's socket", expected: "own sockets only"}
	problem := ""
	if err != nil {
		problem = "the control does not reach it"
		r.control = err.Error()
	} else {
		_ = conn.Close()
		r.control = "reached from the host"
	}
	result := s.in(t, s.id, "root", "test -e "+path+" && echo it is there; find / -name '*"+s.other+"*' 2>/dev/null; ls /run/bottle/*.sock | tr '\\n' ' '")
	r.observed = strings.ReplaceAll(strings.TrimSpace(result.Stdout), "\n", "; ")
	if problem == "" && r.observed != "/run/bottle/8888.sock /run/bottle/9100.sock /run/bottle/9420.sock" {
		problem = "there is more"
	}
	table.add(t, r, problem)
}
