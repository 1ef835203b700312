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
		Tools        []struct{ Name, SHA256, Problem string }
		Changed      []string `json:"changed_tools"`
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
	for _, tool := range receipt.Tools {
		if len(tool.SHA256) != 64 || tool.Problem != "" {
			t.Errorf("the digest of %+v", tool)
		}
	}
	if len(receipt.Tools) < 3 || len(receipt.Changed) > 0 { // the tool itself is not all that it boots
		t.Errorf("it runs on %v, not what it was started with: %v", receipt.Tools, receipt.Changed)
	}
}

// A credential that came into the guest is found in its files, on its disk and in its
// memory; before, it is in none of them, while what must be there is.
func TestLeaks(t *testing.T) {
	l := theBottle(t)
	check := func(code int, verdict string) {
		t.Helper()
		got, err := l.Run(t.Context(), "verify", l.id, "--leaks")
		if err != nil || got.Code != code {
			t.Fatalf("%v, %v", got, err)
		}
		for _, place := range []string{"process lists", "the machine's disks", "the machine's memory"} {
			found := false
			for line := range strings.Lines(got.Stdout) {
				found = found || strings.Contains(line, place) && strings.Contains(line, ": "+verdict)
			}
			if !found {
				t.Errorf("%s is not %q:\n%s", place, verdict, got.Stdout)
			}
		}
	}
	check(0, "clean")
	script := "umask 077; printf %s \"$1\" | base64 -w0 >/home/agent/leaked; sync"
	if got, err := l.Run(t.Context(), "exec", l.id, "--", "sh", "-c", script, "sh", routeToken); err != nil || got.Code != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	check(1, "LEAK: env:"+routeTokenName)
}
