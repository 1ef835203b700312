// Package tally counts what the daemons of one bottle let through and refused, for its
// receipt.
//
// Invariants: it reads the bundle's log, which the host got over its own pipe: a guest cannot
// write there, only cause lines; whatever a line says, it becomes one line of the receipt and
// nothing that a terminal obeys; what it keeps is bounded; a refusal that a probe of the
// launch asked for is not the agent's.
package tally

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"bottle.internal/internal/canary"
	"bottle.internal/internal/printable"
)

// maxLine bounds a log line that is looked at; init breaks longer ones itself.
const maxLine = 32 << 10

// maxKeys bounds what a guest can make the tally remember.
const maxKeys = 100

// maxText bounds what one entry shows of a host or a reason.
const maxText = 200

// The labels of the receipt, in the order in which it shows them.
const (
	labelAlarm   = "ALARM"
	labelAllowed = "allowed"
	labelPushed  = "pushed"
	labelDecided = "decided"
	labelRefused = "refused"
)

func labels() []string {
	return []string{labelAlarm, labelAllowed, labelPushed, labelDecided, labelRefused}
}

// Tally is an io.Writer over the bundle's log.
type Tally struct {
	mu      sync.Mutex
	rest    []byte                       // of a line without its end
	skip    bool                         // the end of a line that was too long is still to come
	counts  map[string]map[string]*count // by label and target
	more    map[string]int               // by label: of targets that found no room, and what was not written one by one
	ours    map[string]int               // refusals that the probes of the launch will cause, by target
	alarmed func(canary.Sighting)
}

type count struct {
	times  int
	reason string // the last one
}

// New makes an empty tally. It tells alarmed of every canary in the log.
func New(alarmed func(canary.Sighting)) *Tally {
	t := &Tally{alarmed: alarmed, counts: map[string]map[string]*count{}, more: map[string]int{}, ours: map[string]int{}}
	for _, label := range labels() {
		t.counts[label] = map[string]*count{}
	}
	return t
}

// Write implements [io.Writer]. It never fails.
func (t *Tally) Write(p []byte) (int, error) {
	for _, seen := range t.read(p) {
		t.alarmed(seen) // outside of the lock
	}
	return len(p), nil
}

// read counts what p completes and returns the canaries that were seen.
func (t *Tally) read(p []byte) (seen []canary.Sighting) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for left := p; len(left) > 0; {
		line, after, ended := bytes.Cut(left, []byte{'\n'})
		if room := maxLine - len(t.rest); len(line) > room {
			t.rest, t.skip = nil, true // never the middle of a line as if it were one
		}
		if !t.skip {
			t.rest = append(t.rest, line...)
		}
		if ended {
			seen = append(seen, t.line(t.rest)...)
			t.rest, t.skip = t.rest[:0], false
		}
		left = after
	}
	return seen
}

// entry is the part of a daemon's line that the receipt is about.
type entry struct {
	Event  string `json:"event"`
	Method string `json:"method"`
	Host   string `json:"host"`
	Port   int    `json:"port"`
	Path   string `json:"path"`
	Line   int    `json:"line"`
	Rule   string `json:"rule"`
	Remote string `json:"remote"`
	Refs   []struct {
		Ref string `json:"ref"`
	} `json:"refs"`
	Reason string `json:"reason"`
	Count  int    `json:"count"`

	Where       string `json:"where"`
	Fingerprint string `json:"fingerprint"`
	Blocked     bool   `json:"blocked"`
}

func (t *Tally) line(line []byte) (seen []canary.Sighting) {
	daemon, text, ok := bytes.Cut(line, []byte("| "))
	var e entry
	if !ok || json.Unmarshal(text, &e) != nil {
		return nil
	}
	switch string(daemon) + " " + e.Event {
	case "firewall allow":
		t.add(labelAllowed, e.target(), "")
	case "firewall deny":
		if t.ours[e.target()] > 0 {
			t.ours[e.target()]--
			return nil
		}
		t.add(labelRefused, e.target(), e.Reason)
	case "egress deny":
		t.add(labelRefused, e.Method+" "+e.target()+e.Path, e.Reason)
	case "egress exfiltration":
		t.add(labelAlarm, e.Event+" to "+e.target(), e.Reason)
	case "firewall canary", "egress canary", "git-gate canary":
		one := e.sighting(string(daemon))
		t.addSighting(one)
		seen = append(seen, one)
	case "git-gate push-allow":
		t.add(labelPushed, e.push(), "")
	case "git-gate push-deny":
		t.add(labelRefused, "push to "+e.push(), e.where())
	case "firewall suppressed", "egress suppressed", "git-gate suppressed", "supervise suppressed":
		t.others(labelRefused, e.Count)
	}
	return seen
}

// Expect leaves one refusal of a target out: a probe asked for it, not the agent.
func (t *Tally) Expect(target string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ours[target]++
}

// Decided counts a decision of the operator.
func (t *Tally) Decided(what, verdict string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(labelDecided, what, verdict)
}

func (e entry) target() string {
	if e.Port == 0 {
		return e.Host
	}
	return fmt.Sprintf("%s:%d", e.Host, e.Port)
}

func (e entry) push() string {
	refs := make([]string, 0, len(e.Refs))
	for _, ref := range e.Refs {
		refs = append(refs, strings.TrimPrefix(ref.Ref, "refs/heads/"))
	}
	return e.Remote + " " + strings.Join(refs, ", ")
}

// where names rule, file and line: never what was found there.
func (e entry) where() string {
	switch {
	case e.Path == "":
		return e.Reason
	case e.Line == 0:
		return fmt.Sprintf("%s (%s, %s)", e.Reason, e.Rule, e.Path)
	}
	return fmt.Sprintf("%s (%s, %s:%d)", e.Reason, e.Rule, e.Path, e.Line)
}

// shown makes a guest's text fit for one line of the receipt: it cannot begin another.
func shown(text string) string { return printable.Escaped(text, maxText) }

func (t *Tally) add(label, target, reason string) {
	target = shown(target)
	counts := t.counts[label]
	if counts[target] == nil {
		if len(counts) >= maxKeys {
			t.others(label, 1)
			return
		}
		counts[target] = &count{}
	}
	counts[target].times++
	counts[target].reason = shown(reason)
}

// others counts what has no line of its own. A daemon's number may be any.
func (t *Tally) others(label string, n int) {
	t.more[label] += min(max(n, 0), math.MaxInt-t.more[label])
}

// String is the table of the receipt, a line for each target.
func (t *Tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out strings.Builder
	for _, label := range labels() {
		for _, target := range slices.Sorted(maps.Keys(t.counts[label])) {
			c := t.counts[label][target]
			fmt.Fprintf(&out, "  %-8s %s  %s", label, target, times(c.times))
			if c.reason != "" {
				fmt.Fprintf(&out, ": %s", c.reason)
			}
			out.WriteByte('\n')
		}
		if n := t.more[label]; n > 0 {
			fmt.Fprintf(&out, "  %-8s others  %s\n", label, times(n))
		}
	}
	return out.String()
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// sighting is what a daemon's line says of a canary.
func (e entry) sighting(daemon string) canary.Sighting {
	host := e.target()
	if e.Remote != "" {
		host = e.Remote
	}
	return canary.Sighting{
		Daemon: daemon, Where: shown(e.Where), Method: shown(e.Method), Host: shown(host),
		Fingerprint: shown(e.Fingerprint), Blocked: e.Blocked,
	}
}

// Sighted counts a canary that somebody else saw.
func (t *Tally) Sighted(seen canary.Sighting) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addSighting(seen)
}

func (t *Tally) addSighting(seen canary.Sighting) {
	target := "canary seen by " + seen.Daemon
	if seen.Host != "" {
		target = "canary to " + seen.Host
	}
	t.add(labelAlarm, target, "in the "+seen.Where)
}
