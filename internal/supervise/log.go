package supervise

import (
	"time"

	"bottle.internal/internal/ask"
)

// Events of the log.
const (
	eventReady      = "ready"
	eventReload     = "reload"
	eventCall       = "call"    // a tool was called; Status says how it ended
	eventDeny       = "deny"    // a request was refused before it was read as MCP
	eventRefuse     = "refused" // a tool refused its arguments, or the host refused them
	eventFail       = "fail"    // the host did not answer
	eventSuppressed = "suppressed"
)

// line is one JSON line. It has no place for what the agent wrote.
type line struct {
	Time    time.Time  `json:"time"`
	Event   string     `json:"event"`
	Tool    string     `json:"tool,omitempty"`
	ID      string     `json:"id,omitempty"`
	Status  ask.Status `json:"status,omitempty"`
	Rule    string     `json:"rule,omitempty"`
	Millis  *float64   `json:"duration_ms,omitempty"`
	Count   int        `json:"count,omitempty"`
	Listen  string     `json:"listen,omitempty"`
	Routes  int        `json:"routes,omitempty"`
	Problem string     `json:"problem,omitempty"`
}

// At implements [journal.Line].
func (l line) At(now time.Time) line {
	l.Time = now
	return l
}

// Bucket implements [journal.Line]: what an agent can cause at will is held back; answers of
// the operator are always written.
func (l line) Bucket() (name string, limited bool) {
	switch l.Event {
	case eventDeny, eventRefuse, eventFail:
		return "", true
	case eventCall:
		answered := l.Status != "" && l.Status != ask.Pending && l.Status != ask.Nothing && l.ID != ""
		return "", !answered
	}
	return "", false
}

// Suppressed implements [journal.Line].
func (line) Suppressed(_ string, count int) line {
	return line{Event: eventSuppressed, Count: count, Problem: "calls and denials came too fast to write each"}
}
