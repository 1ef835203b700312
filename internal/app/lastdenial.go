package app

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/boundary"
	"bottle.internal/internal/names"
	"bottle.internal/internal/timeline"
)

// denialTail is how much of the end of a log is looked at: a list must not read logs.
const denialTail = 256 << 10

// Denial is something that a bottle was refused.
type Denial struct {
	Time   time.Time       `json:"time"`
	Source timeline.Source `json:"source"`
	Event  string          `json:"event"`
	Target string          `json:"target"` // as far as the log says so; safe to print
}

// lastDenial looks for the newest denial at the end of a bottle's audit log; nil if there is
// none there. It does not verify the log: who wants to be sure asks `bottle audit verify`.
func (a *App) lastDenial(id names.Identity) *Denial {
	tail, err := timeline.Tail(a.auditLog(id), denialTail)
	if err != nil {
		return nil // no log yet, or none that can be read: other verbs say so
	}
	probed := probes{}
	for len(tail) > 0 {
		at := bytes.LastIndexByte(tail[:len(tail)-1], '\n') + 1
		text := tail[at:]
		tail = tail[:at]
		if bytes.Contains(text, []byte(receiptMark)) {
			probed.expect(text)
			continue
		}
		if !slices.ContainsFunc(denials(), func(name string) bool { return bytes.Contains(text, []byte(`"event":"`+name+`"`)) }) {
			continue // cheap: most lines are none
		}
		var line audit.Line
		if json.Unmarshal(text, &line) != nil || !slices.Contains(denials(), line.Event) {
			continue
		}
		if probed.asked(line) || lateProbe(line, tail) {
			continue
		}
		record := timeline.Record{Source: timeline.Source(line.Source), Event: line.Event, Fields: line.Fields}
		return &Denial{Time: line.Time, Source: record.Source, Event: line.Event, Target: record.Target()}
	}
	return nil
}

// receiptMark is in the line of a receipt; in what an agent says, its quotes are escaped.
const receiptMark = `"event":"receipt"`

// lateBy is how long after its receipt the firewall's line about a probe may come.
const lateBy = 2 * time.Second

// probes are the targets that the boundary's probes asked the firewall for, and were denied,
// each as often as it was. They are in the log, and no deeds of the agent.
type probes map[string]int

// expect takes the probes of a receipt, and returns when it was written.
func (p probes) expect(text []byte) time.Time {
	var line audit.Line
	var fields struct {
		Results []boundary.Result `json:"results"`
	}
	if json.Unmarshal(text, &line) != nil || line.Source != audit.Host || json.Unmarshal(line.Fields, &fields) != nil {
		return time.Time{}
	}
	for _, result := range fields.Results {
		if result.Proxied() {
			p[result.Target]++
		}
	}
	return line.Time
}

// asked reports whether a probe was behind a denial, which then is accounted for.
func (p probes) asked(line audit.Line) bool {
	var fields struct {
		Host string `json:"host"`
		Port int    `json:"port"`
	}
	if line.Event != "deny" || timeline.Source(line.Source) != timeline.Firewall || json.Unmarshal(line.Fields, &fields) != nil {
		return false
	}
	target := strings.TrimSuffix(strings.TrimPrefix(fields.Host, "http://"), "/") // one that it could not read is as it came
	if fields.Port != 0 {
		target += ":" + strconv.Itoa(fields.Port)
	}
	if p[target] == 0 {
		return false
	}
	p[target]--
	return true
}

// lateProbe reports whether a denial is of a probe whose receipt was written a moment before.
func lateProbe(line audit.Line, before []byte) bool {
	at := bytes.LastIndex(before, []byte(receiptMark))
	if at < 0 {
		return false
	}
	begin := bytes.LastIndexByte(before[:at], '\n') + 1
	receipt, _, _ := bytes.Cut(before[begin:], []byte{'\n'})
	probed := probes{}
	written := probed.expect(receipt)
	return line.Time.Sub(written) < lateBy && probed.asked(line)
}

// denials are the events that refuse something.
func denials() []string { return []string{"deny", "push-deny", "refused", "exfiltration"} }
