package app

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"bottle.internal/internal/audit"
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
	for len(tail) > 0 {
		at := bytes.LastIndexByte(tail[:len(tail)-1], '\n') + 1
		text := tail[at:]
		tail = tail[:at]
		if !slices.ContainsFunc(denials(), func(name string) bool { return bytes.Contains(text, []byte(`"event":"`+name+`"`)) }) {
			continue // cheap: most lines are none
		}
		var line audit.Line
		if json.Unmarshal(text, &line) != nil || !slices.Contains(denials(), line.Event) {
			continue
		}
		record := timeline.Record{Source: timeline.Source(line.Source), Event: line.Event, Fields: line.Fields}
		return &Denial{Time: line.Time, Source: record.Source, Event: line.Event, Target: record.Target()}
	}
	return nil
}

// denials are the events that refuse something.
func denials() []string { return []string{"deny", "push-deny", "refused", "exfiltration"} }
