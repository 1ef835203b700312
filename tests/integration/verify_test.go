//go:build integration

package integration

import (
	"encoding/json"
	"strings"
	"testing"
)

// bottle verify asks a running guest again, with a program that the host has just sent, and
// writes one line for each probe.
func TestVerify(t *testing.T) {
	l := theBottle(t)
	got, err := l.Run(t.Context(), "verify", l.id, "--format=json")
	if err != nil || got.Code != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	var receipt struct {
		GuestTrusted bool `json:"guest_trusted"`
		Results      []struct{ Probe, Verdict, Control, Observed string }
	}
	if err := json.Unmarshal([]byte(got.Stdout), &receipt); err != nil {
		t.Fatal(err)
	}
	if receipt.GuestTrusted {
		t.Error("a guest in which an agent has run is trusted")
	}
	passed := map[string]bool{}
	for _, r := range receipt.Results {
		t.Logf("%-12s %-36s control: %-24.24s the guest says %q", r.Verdict, r.Probe, r.Control, r.Observed)
		kind, _, _ := strings.Cut(r.Probe, " ")
		passed[kind] = passed[kind] || r.Verdict == "passed"
	}
	for _, kind := range []string{"firewall", "tcp", "udp", "icmp", "proxy", "bundle's", "interfaces", "routes", "packet", "listeners", "sockets"} {
		if !passed[kind] {
			t.Errorf("no probe of %s has passed", kind)
		}
	}
}
