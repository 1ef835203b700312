package launch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"bottle.internal/internal/event"
)

// maxTallyLine bounds a log line that is looked at; init breaks longer ones itself.
const maxTallyLine = 32 << 10

// maxTallyKeys bounds what a guest can make the tally remember.
const maxTallyKeys = 100

// firewallPrefix marks the firewall's lines in the bundle's log; init writes it.
const firewallPrefix = "firewall| "

// tally counts what the firewall let through and refused. It reads the bundle's log,
// which the host got over its own pipe: a guest cannot write there, only cause lines.
type tally struct {
	mu      sync.Mutex
	rest    []byte
	allowed map[string]int
	denied  map[string]int
	reasons map[string]string
	more    int // denials that the firewall did not write one by one, or that found no room
}

func newTally() *tally {
	return &tally{allowed: map[string]int{}, denied: map[string]int{}, reasons: map[string]string{}}
}

// Write implements io.Writer over the bundle's log.
func (t *tally) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest = append(t.rest, p...)
	for {
		line, after, found := bytes.Cut(t.rest, []byte{'\n'})
		if !found {
			if len(t.rest) > maxTallyLine {
				t.rest = nil
			}
			return len(p), nil
		}
		t.line(line)
		t.rest = after
	}
}

func (t *tally) line(line []byte) {
	text, ok := bytes.CutPrefix(line, []byte(firewallPrefix))
	if !ok {
		return
	}
	var entry struct {
		Event  string `json:"event"`
		Host   string `json:"host"`
		Port   int    `json:"port"`
		Reason string `json:"reason"`
		Count  int    `json:"count"`
	}
	if json.Unmarshal(text, &entry) != nil {
		return
	}
	target := event.SafeText(entry.Host)
	if entry.Port != 0 {
		target = fmt.Sprintf("%s:%d", target, entry.Port)
	}
	switch entry.Event {
	case "allow":
		t.add(t.allowed, target)
	case "deny":
		if t.add(t.denied, target) {
			t.reasons[target] = event.SafeText(entry.Reason)
		}
	case "suppressed":
		t.more += entry.Count
	}
}

func (t *tally) add(counts map[string]int, target string) bool {
	if _, known := counts[target]; !known && len(counts) >= maxTallyKeys {
		t.more++
		return false
	}
	counts[target]++
	return true
}

// text is the table of the receipt.
func (t *tally) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out strings.Builder
	for _, target := range sortedKeys(t.allowed) {
		fmt.Fprintf(&out, "  allowed  %s  %s\n", target, times(t.allowed[target]))
	}
	for _, target := range sortedKeys(t.denied) {
		fmt.Fprintf(&out, "  refused  %s  %s: %s\n", target, times(t.denied[target]), t.reasons[target])
	}
	if t.more > 0 {
		fmt.Fprintf(&out, "  refused  others  %s\n", times(t.more))
	}
	return out.String()
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func sortedKeys(counts map[string]int) []string {
	keys := make([]string, 0, len(counts))
	for key := range counts {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
