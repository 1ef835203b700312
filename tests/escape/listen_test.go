//go:build integration && linux

package escape

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"bottle.internal/tests/integration/rig"
)

// guestPort is what both guests listen on, on all of their addresses.
const guestPort = "24680"

// listeners is the other direction: what listens in a guest is nobody's but the guest's.
func listeners(t *testing.T, s *scene) {
	heard := map[string]string{}
	for _, id := range []string{s.id, s.other} {
		script := fmt.Sprintf("setsid %s listen %s 'I am '$(hostname) >/run/es-listen 2>&1 & for i in $(seq 100); do grep -q ready /run/es-listen && break; sleep 0.1; done; exec 3<>/dev/tcp/127.0.0.1/%[2]s; head -1 <&3", guestProbe, guestPort)
		result := s.bottle(t, "exec", "--root", id, "--", "bash", "-c", script)
		heard[id] = strings.TrimSpace(result.Stdout)
		if result.Code != 0 {
			t.Fatalf("listening in %s: %s", id, result)
		}
	}
	control := fmt.Sprintf("each guest hears itself: %q", heard[s.id])
	problem := ""
	if heard[s.id] == heard[s.other] || heard[s.id] == "" || heard[s.other] == "" {
		problem = "they are not two"
	}
	table.add(t, row{
		probe: "two machines listen on one port", control: control, expected: "each its own",
		observed: fmt.Sprintf("the other hears %q", heard[s.other]),
	}, problem)
	s.listenersFromHost(t, control)
	s.listenersFromContainer(t, control)
	for _, id := range []string{s.id, s.other} {
		s.in(t, id, "root", "pkill -f 'es-probe listen'")
	}
}

// listenersFromHost dials every address of this host.
func (s *scene) listenersFromHost(t *testing.T, control string) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	tried, reached := 0, ""
	for _, address := range addresses {
		ip, _, err := net.ParseCIDR(address.String())
		if err != nil || ip.IsLinkLocalUnicast() {
			continue
		}
		tried++
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(ip.String(), guestPort), time.Second)
		if err == nil {
			reached = ip.String()
			_ = conn.Close()
		}
	}
	problem := ""
	if reached != "" || tried == 0 {
		problem = "reached at " + reached
	}
	table.add(t, row{
		probe: "a guest's listener, from the host", control: control, expected: "no connection",
		observed: fmt.Sprintf("%d addresses, none answers", tried),
	}, problem)
}

// listenersFromContainer is what somebody on the host's networks can do.
func (s *scene) listenersFromContainer(t *testing.T, control string) {
	mine := s.addresses(t, s.id)
	var targets []string
	for _, address := range []string{mine.gateway, mine.bundle, "127.0.0.1"} {
		targets = append(targets, net.JoinHostPort(address, guestPort))
	}
	said, err := rig.InContainer(t.Context(), s.beside, append([]string{"dial", mine.bundle + ":7070"}, targets...)...)
	if err != nil {
		t.Fatal(err)
	}
	problem := ""
	lines := strings.Split(said, "\n")
	if !strings.Contains(lines[0], ": connected, ") {
		problem = "the control does not reach the bundle"
	}
	for _, line := range lines[1:] {
		if !strings.Contains(line, ": no connection: ") {
			problem = "reached"
		}
	}
	table.add(t, row{
		probe: "a guest's listener, from a container", control: control + "; the container reaches the bundle", expected: "no connection",
		observed: strings.Join(lines[1:], "; "),
	}, problem)
}
