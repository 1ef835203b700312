package launch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
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

// maxTallyText bounds what one entry shows of a host or a reason.
const maxTallyText = 200

// tally counts what the firewall let through and refused. It reads the bundle's log,
// which the host got over its own pipe: a guest cannot write there, only cause lines.
type tally struct {
	mu          sync.Mutex
	rest        []byte // of a line without its end
	skip        bool   // the end of a line that was too long is still to come
	allowed     map[string]int
	denied      map[string]int
	reasons     map[string]string
	moreAllowed int // of targets that found no room
	moreDenied  int // the same, and what the firewall did not write one by one
}

func newTally() *tally {
	return &tally{allowed: map[string]int{}, denied: map[string]int{}, reasons: map[string]string{}}
}

// Write implements io.Writer over the bundle's log.
func (t *tally) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for left := p; len(left) > 0; {
		line, after, ended := bytes.Cut(left, []byte{'\n'})
		if room := maxTallyLine - len(t.rest); len(line) > room {
			t.rest, t.skip = nil, true // never the middle of a line as if it were one
		}
		if !t.skip {
			t.rest = append(t.rest, line...)
		}
		if ended {
			t.line(t.rest)
			t.rest, t.skip = t.rest[:0], false
		}
		left = after
	}
	return len(p), nil
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
	target := shown(entry.Host)
	if entry.Port != 0 {
		target = fmt.Sprintf("%s:%d", target, entry.Port)
	}
	switch entry.Event {
	case "allow":
		if !add(t.allowed, target) {
			t.moreAllowed++
		}
	case "deny":
		if !add(t.denied, target) {
			t.moreDenied++
			return
		}
		t.reasons[target] = shown(entry.Reason)
	case "suppressed":
		t.moreDenied += max(entry.Count, 0)
	}
}

// shown makes a guest's text fit for one line of the receipt: it cannot begin another.
func shown(text string) string {
	if len(text) > maxTallyText {
		text = strings.ToValidUTF8(text[:maxTallyText], "") + "..."
	}
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(event.SafeText(text))
}

func add(counts map[string]int, target string) bool {
	if _, known := counts[target]; !known && len(counts) >= maxTallyKeys {
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
	for _, target := range slices.Sorted(maps.Keys(t.allowed)) {
		fmt.Fprintf(&out, "  allowed  %s  %s\n", target, times(t.allowed[target]))
	}
	if t.moreAllowed > 0 {
		fmt.Fprintf(&out, "  allowed  others  %s\n", times(t.moreAllowed))
	}
	for _, target := range slices.Sorted(maps.Keys(t.denied)) {
		fmt.Fprintf(&out, "  refused  %s  %s: %s\n", target, times(t.denied[target]), t.reasons[target])
	}
	if t.moreDenied > 0 {
		fmt.Fprintf(&out, "  refused  others  %s\n", times(t.moreDenied))
	}
	return out.String()
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
