package firewall

import (
	"time"

	"bottle.internal/internal/canary"
)

// Events of the log. An allow is written before the first byte goes out, so that a
// kill cannot lose it; its close follows with the counts.
const (
	eventReady      = "ready"
	eventReload     = "reload"
	eventAllow      = "allow"
	eventDeny       = "deny"
	eventFail       = "fail" // allowed, but there is no way to the upstream
	eventClose      = "close"
	eventSuppressed = "suppressed"
	eventTotals     = "totals" // of one destination since the start
	eventEngine     = "engine" // the engine behind this one speaks
	eventCanary     = canary.Event
)

// line is one JSON line. It has no place for headers, queries or bodies.
type line struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"`
	ID      uint64    `json:"id,omitempty"`
	Method  string    `json:"method,omitempty"`
	Host    string    `json:"host,omitempty"`
	Port    uint16    `json:"port,omitempty"`
	Path    string    `json:"path,omitempty"`
	Address string    `json:"address,omitempty"`
	Rule    Rule      `json:"rule,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Status  int       `json:"status,omitempty"`
	Up      *int64    `json:"bytes_up,omitempty"`
	Down    *int64    `json:"bytes_down,omitempty"`
	Millis  *float64  `json:"duration_ms,omitempty"`
	Count   int       `json:"count,omitempty"`
	Listen  string    `json:"listen,omitempty"`
	Routes  *int      `json:"routes,omitempty"`
	Problem string    `json:"problem,omitempty"`
	Kind    string    `json:"kind,omitempty"`
	Scanner string    `json:"scanner,omitempty"`
	Where   string    `json:"where,omitempty"`
	Print   string    `json:"fingerprint,omitempty"`
	Blocked *bool     `json:"blocked,omitempty"`
	held    bool      // counts as a denial, whatever the event
}

// At implements [journal.Line].
func (l line) At(now time.Time) line {
	l.Time = now
	return l
}

// Bucket implements [journal.Line]: denials are held back. Secrets have their own bucket, so
// that a flood of other denials cannot hide one.
func (l line) Bucket() (name string, limited bool) {
	if l.Rule == RuleSecret {
		name = string(RuleSecret)
	}
	return name, l.Event == eventDeny || l.held
}

// Suppressed implements [journal.Line].
func (line) Suppressed(rule string, count int) line {
	return line{Event: eventSuppressed, Rule: Rule(rule), Count: count, Reason: "denials came too fast to write each"}
}
