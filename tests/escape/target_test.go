//go:build integration && linux

package escape

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"

	"bottle.internal/internal/boundary"
	"bottle.internal/tests/integration/rig"
)

// bell opens a target on this host and returns its counter and its control.
func (s *scene) bell(t *testing.T, network, address string) (at, counter string, control func() (string, error)) {
	t.Helper()
	listener, err := boundary.Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	counter = "host " + network + " " + listener.Addr()
	s.mu.Lock()
	s.bells[counter] = listener
	s.mu.Unlock()
	return listener.Addr(), counter, func() (string, error) { return "reached from the host", listener.Prove(t.Context()) }
}

// tallies is what a container's probe program has counted.
type tallies struct {
	Accepted map[string]int `json:"accepted"`
	Packets  map[string]int `json:"packets"`
	Names    map[string]int `json:"names"`
	Hosts    map[string]int `json:"hosts"`
	Echoes   int            `json:"echoes"`
}

// counts is what all targets have counted so far, whoever came.
func (s *scene) counts(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	s.mu.Lock()
	for counter, listener := range s.bells {
		hits, proved := listener.Evidence()
		counts[counter] = hits
		if proved {
			counts[counter]++
		}
	}
	s.mu.Unlock()
	for place, container := range map[string]*testcontainers.DockerContainer{"beside": s.beside, "outside": s.outside} {
		said, err := rig.InContainer(t.Context(), container, "counts")
		if err != nil {
			t.Fatal(err)
		}
		var seen tallies
		if err := json.Unmarshal([]byte(said), &seen); err != nil {
			t.Fatal(err)
		}
		counts[place+" icmp"] = seen.Echoes
		for kind, list := range map[string]map[string]int{"tcp": seen.Accepted, "udp": seen.Packets, "name": seen.Names, "host": seen.Hosts} {
			for name, n := range list {
				counts[place+" "+kind+" "+name] = n
			}
		}
	}
	return counts
}

// dialAlways goes to one address, whatever the name.
func dialAlways(dialer *net.Dialer, address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	}
}

// dialed reaches a TCP target from this host.
func dialed(address string) func() (string, error) {
	return func() (string, error) {
		conn, err := net.DialTimeout("tcp", address, 3*time.Second)
		if err != nil {
			return "", fmt.Errorf("from the host: %w", err)
		}
		return "reached from the host", conn.Close()
	}
}
