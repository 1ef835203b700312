//go:build integration && linux

package escape

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"

	"bottle.internal/internal/guest/probe"
	"bottle.internal/pkg/bundle"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/integration/rig"
)

// tapped is a name that the engine's resolver knows, so that asking for it sends nothing off
// this machine.
const tapped = "wiretapped.bottle.test"

// query is a DNS question for an address, over UDP; with its length before, over TCP.
func query(name string) string {
	q := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	for part := range strings.SplitSeq(name, ".") {
		q += string(rune(len(part))) + part
	}
	return q + "\x00\x00\x01\x00\x01"
}

// dns tries to get data out in the labels of names.
func dns(t *testing.T, s *scene) {
	secret := "s" + strings.ToLower(rand.Text()[:20])
	name := secret + ".alive.bottle.test"
	address := s.upAddress(t)
	udp, tcp := net.JoinHostPort(address, "53"), net.JoinHostPort(address, "53")
	s.attempts(t, []attempt{
		{name: "DNS by the guest's resolver", attack: attack{Probe: probe.Probe{Kind: probe.DNS, Target: tapped}}, control: s.fromBundle(t, tapped+":443")},
		{name: "DNS by UDP to our resolver", root: true, attack: attack{Probe: probe.Probe{Kind: "datagram", Target: udp}, Say: []string{query(name)}}, control: packetTo(t, udp), counter: "beside udp 53"},
		{name: "DNS by TCP to our resolver", root: true, attack: attack{Probe: probe.Probe{Kind: probe.TCP, Target: tcp}}, control: dialed(tcp), counter: "beside tcp 53"},
		{name: "DNS by UDP to the bundle's resolver", root: true, attack: attack{Probe: probe.Probe{Kind: "datagram", Target: "127.0.0.11:53"}, Say: []string{query(name)}}, control: s.fromBundle(t, tapped+":443")},
	})
	s.attempts(t, []attempt{
		{name: "DNS by TCP through the proxy", attack: raw(connectTo(tcp)), control: s.fromBundle(t, tcp), counter: "beside tcp 53", once: true, saying: "4", expected: "4xx"},
		{name: "DNS by TCP through the proxy, of an allowed host", attack: raw(connectTo("up.bottle.test:53")), control: s.fromBundle(t, "up.bottle.test:53"), counter: "beside tcp 53", once: true, saying: "4", expected: "4xx"},
	})
	s.labels(t, secret)
}

// labels has the proxy asked for names that carry data, and looks at what the bundle asks.
func (s *scene) labels(t *testing.T, secret string) {
	tap, err := s.Beside(t.Context(), s.program,
		testcontainers.WithCmd("wiretap", "wiretapped", secret),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
			host.NetworkMode = container.NetworkMode("container:" + bundle.KindBundle.Name(s.id))
		}),
		testcontainers.WithLabels(map[string]string{label: "escape"}),
	)
	if tap != nil {
		t.Cleanup(func() { _ = testcontainers.TerminateContainer(tap, testcontainers.StopTimeout(0)) })
	}
	if err != nil {
		t.Fatal(err)
	}
	var list []attempt
	for _, c := range []struct{ what, request string }{
		{"CONNECT", connectTo(secret + ".alive.bottle.test:443")},
		{"CONNECT, allowed host", connectTo(secret + ".up.bottle.test:443")},
		{"a plain request", "GET http://" + secret + ".plain.bottle.test/ HTTP/1.1\r\nHost: " + secret + ".plain.bottle.test\r\n\r\n"},
	} {
		list = append(list, attempt{name: "data in labels by " + c.what, attack: raw(c.request), saying: "4"})
	}
	said := s.try(t, false, list)
	// What the bundle asks now comes behind what it has asked for the guest.
	control := "asked by the bundle, heard on its wire"
	problem := ""
	if err := rig.DialFromBundle(t.Context(), s.engine, s.id, tapped+":443"); err != nil {
		problem = err.Error()
	}
	heard := ""
	for begin := time.Now(); !strings.Contains(heard, "mark wiretapped"); time.Sleep(50 * time.Millisecond) {
		heard = logsOf(t, tap)
		if time.Since(begin) > eventually.Patience {
			problem = "the control was not heard: " + heard
			break
		}
	}
	for _, a := range list {
		r := a.row()
		r.control, r.expected = control, "4xx, and nobody asks for it"
		p := problem
		r, p = compare(a, r, p, said)
		if n := strings.Count(heard, "mark "+secret); p == "" && n > 0 {
			p = "a resolver was asked"
		}
		table.add(t, r, p)
	}
}

func logsOf(t *testing.T, c *testcontainers.DockerContainer) string {
	t.Helper()
	logs, err := c.Logs(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	text, err := io.ReadAll(logs)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
