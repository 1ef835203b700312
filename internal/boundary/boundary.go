// Package boundary knows the ways out that a guest must not have. It says what the guest has
// to try, opens the live targets on the host, and judges. Who asks a guest is
// internal/launch/proof.
//
// Invariants:
//   - A guest's "I could not" counts only where the host has just reached the same target
//     itself, and where the target has seen nobody else. All other refusals are
//     [Uncontrolled], never passed.
//   - A target that was reached is a failure, whatever the guest says of it.
//   - An answer that is missing, unknown or there twice is a failure.
package boundary

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/printable"
)

// Verdict is what became of one probe.
type Verdict string

// The verdicts.
const (
	Passed       Verdict = "passed"
	Failed       Verdict = "FAILED"
	Uncontrolled Verdict = "uncontrolled" // it was refused, and nobody knows whether that means anything
)

// What is expected of a target.
const (
	Answers = "answers"
	Blocked = "blocked"
)

// Check is a probe and what the host knows of its target.
type Check struct {
	probe.Probe
	Answers bool // it must be reached; all others must not
	Control Control
}

// Control is the host's own look at a target.
type Control struct {
	Proof    string    // how the host reached it; empty: it did not
	Missing  string    // why there is no proof
	Listener *Listener // that counts who comes; nil where it is not ours
}

// Result is one line of a receipt.
type Result struct {
	Probe    string  `json:"probe"`
	Target   string  `json:"target,omitempty"`
	Expected string  `json:"expected"` // [Answers] or [Blocked]
	Control  string  `json:"control"`
	Observed string  `json:"observed"` // the guest's words
	Hits     int     `json:"hits"`     // that the host has counted
	Verdict  Verdict `json:"verdict"`
}

// proxied begins the names of the probes that ask the firewall for their target.
const proxied = "proxy "

// Proxied reports whether the firewall was asked for the target, so that its log says so.
func (r Result) Proxied() bool { return strings.HasPrefix(r.Probe, proxied) }

// Judge compares what the guest says with what the host has seen.
func Judge(checks []Check, said []probe.Observation) []Result {
	results := make([]Result, 0, len(checks))
	for _, check := range checks {
		results = append(results, judge(check, find(said, check.Name)))
	}
	return results
}

func find(said []probe.Observation, name string) *probe.Observation {
	var found *probe.Observation
	for _, observation := range said {
		if observation.Name != name {
			continue
		}
		if found != nil {
			return nil
		}
		found = &observation
	}
	return found
}

func judge(check Check, said *probe.Observation) Result {
	result := Result{Probe: check.Name, Target: check.Target, Expected: Blocked, Verdict: Passed}
	result.Control = check.Control.Proof
	if check.Control.Listener != nil {
		result.Hits, _ = check.Control.Listener.Evidence()
	}
	if check.Answers {
		result.Expected = Answers
	}
	if said == nil {
		result.Observed, result.Verdict = "no answer", Failed
		return result
	}
	result.Observed = said.Saw[:min(len(said.Saw), probe.MaxSaw)]
	switch {
	case check.Answers:
		if !said.Reached {
			result.Verdict = Failed
		}
	case said.Reached, result.Hits > 0:
		result.Verdict = Failed
	case check.Control.Proof == "":
		result.Control, result.Verdict = "none: "+check.Control.Missing, Uncontrolled
	}
	return result
}

// Surprise is the first result that must not be, or nil. What was reached comes before what
// did not answer.
func Surprise(results []Result) *Result {
	for _, expected := range []string{Blocked, Answers} {
		i := slices.IndexFunc(results, func(r Result) bool { return r.Verdict == Failed && r.Expected == expected })
		if i >= 0 {
			return &results[i]
		}
	}
	return nil
}

// Probes is what the guest is asked.
func Probes(checks []Check) []probe.Probe {
	probes := make([]probe.Probe, 0, len(checks))
	for _, check := range checks {
		probes = append(probes, check.Probe)
	}
	return probes
}

// Count says how many of the results have each verdict.
func Count(results []Result) string {
	counts := map[Verdict]int{}
	for _, result := range results {
		counts[result.Verdict]++
	}
	words := []string{fmt.Sprintf("%d passed", counts[Passed])}
	for _, verdict := range []Verdict{Failed, Uncontrolled} {
		if n := counts[verdict]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, verdict))
		}
	}
	return strings.Join(words, ", ")
}

// hostAddresses are the addresses of this host that a guest could try, loopback first. Those
// of an interface that is down, and link-local ones, which need a zone, are left out.
func hostAddresses() ([]netip.Addr, error) {
	list := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("looking for this host's addresses: %w", err)
	}
	for _, link := range interfaces {
		if link.Flags&net.FlagUp == 0 {
			continue
		}
		addresses, err := link.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, address := range addresses {
			prefix, err := netip.ParsePrefix(address.String())
			if addr := prefix.Addr().Unmap(); err == nil && !addr.IsLinkLocalUnicast() && !slices.Contains(list, addr) {
				list = append(list, addr)
			}
		}
	}
	return list, nil
}

// Table shows results for people: one line each. A guest's words cannot begin another.
func Table(results []Result) string {
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERDICT\tPROBE\tWANT\tCONTROL\tTHE GUEST SAYS\tCAME")
	for _, r := range results {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\n", r.Verdict, r.Probe, r.Expected, printable.ASCII(r.Control, maxCell), printable.ASCII(r.Observed, maxCell), r.Hits)
	}
	_ = table.Flush() // a strings.Builder does not fail
	return out.String()
}

// maxCell bounds a cell that somebody else has written, in bytes.
const maxCell = 80
