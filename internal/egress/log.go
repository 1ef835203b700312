package egress

import (
	"time"

	"bottle.internal/internal/canary"
)

// Events of the log. An allow is written before the first byte goes out, so that a
// kill cannot lose it; its close follows with the counts.
const (
	eventReady        = "ready"
	eventReload       = "reload"
	eventAllow        = "allow"
	eventDeny         = "deny"
	eventFail         = "fail" // allowed, but the upstream or its credential is not there
	eventClose        = "close"
	eventCanary       = canary.Event   // a canary was sent, or came back
	eventExfiltration = "exfiltration" // the placeholder was sent where it does not belong
	eventRefresh      = "refresh"      // the host was asked for a new token
	eventSuppressed   = "suppressed"
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
	Route   *int      `json:"route,omitempty"`
	Address string    `json:"address,omitempty"`
	Rule    Rule      `json:"rule,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Status  int       `json:"status,omitempty"`
	Up      *int64    `json:"bytes_up,omitempty"`
	Down    *int64    `json:"bytes_down,omitempty"`
	Millis  *float64  `json:"duration_ms,omitempty"`
	Blocked *bool     `json:"blocked,omitempty"`
	Where   string    `json:"where,omitempty"`
	Print   string    `json:"fingerprint,omitempty"`
	Count   int       `json:"count,omitempty"`
	Listen  []string  `json:"listen,omitempty"`
	Routes  *int      `json:"routes,omitempty"`
	Missing []int     `json:"missing_tokens,omitempty"`
	Problem string    `json:"problem,omitempty"`
}

// At implements [journal.Line].
func (l line) At(now time.Time) line {
	l.Time = now
	return l
}

// Bucket implements [journal.Line]: denials are held back.
func (l line) Bucket() (name string, limited bool) { return "", l.Event == eventDeny }

// Suppressed implements [journal.Line].
func (line) Suppressed(_ string, count int) line {
	return line{Event: eventSuppressed, Count: count, Reason: "denials came too fast to write each"}
}
