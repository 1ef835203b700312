// Package ask holds what an agent may ask of the operator, for both sides: the daemon in
// the bundle refuses a bad question early, the host refuses it again, with the same code.
//
// Invariants: every function is pure; arguments are strict JSON objects (no unknown, doubled
// or misspelt key, no bad UTF-8, bounded); what passes is in the one canonical form, so that
// equal questions are equal bytes; a host that passes is a public-looking DNS name.
package ask

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Kind is the kind of the questions that the supervise daemon asks the host.
const Kind = "proposal"

// MaxQuestion bounds a question, in bytes.
const MaxQuestion = 64 << 10

// MaxWait bounds how long one question may wait for the operator.
const MaxWait = 30 * time.Second

// Tool is what is asked for.
type Tool string

// The tools that need the host. list-egress-routes is answered by the daemon alone.
const (
	ToolAllow      Tool = "egress-allow"
	ToolCapability Tool = "capability-request"
	ToolPush       Tool = "push-approval"
)

// Question is the body of a question.
type Question struct {
	Tool      Tool            `json:"tool"`
	Arguments json.RawMessage `json:"arguments"`
	WaitMS    int64           `json:"wait_ms"` // how long to wait for a decision; at most [MaxWait]
}

// Status says how a question stands.
type Status string

// The answers to a question.
const (
	Pending  Status = "pending"
	Approved Status = "approved"
	Rejected Status = "rejected"
	Failed   Status = "failed"  // approved, but it could not be put into force
	Nothing  Status = "nothing" // there is no such push
)

// Answer is the host's answer to a [Question].
type Answer struct {
	ID      string `json:"id,omitempty"` // of the proposal; empty if none was needed
	Status  Status `json:"status"`
	Message string `json:"message"`        // what it means, for the agent
	Note    string `json:"note,omitempty"` // the operator's own words
}

// ParseQuestion decodes a question strictly.
func ParseQuestion(raw []byte) (Question, error) {
	var q Question
	if len(raw) > MaxQuestion {
		return q, fmt.Errorf("the question has %d bytes, at most %d are allowed", len(raw), MaxQuestion)
	}
	if err := Decode(raw, &q); err != nil {
		return q, fmt.Errorf("the question: %w", err)
	}
	if !slices.Contains([]Tool{ToolAllow, ToolCapability, ToolPush}, q.Tool) {
		return q, fmt.Errorf("there is no tool %.40q", q.Tool)
	}
	if q.WaitMS < 0 {
		return q, fmt.Errorf("the question waits %d ms", q.WaitMS)
	}
	return q, nil
}

// Wait is how long the question waits.
func (q Question) Wait() time.Duration {
	if q.WaitMS > MaxWait.Milliseconds() {
		return MaxWait
	}
	return time.Duration(q.WaitMS) * time.Millisecond
}

// Route is what an agent may know of a route. It has no place for a credential's name.
type Route struct {
	Host    string   `json:"host"`
	Port    int      `json:"port"`
	Methods []string `json:"methods,omitempty"` // nil: all of them
	Paths   []string `json:"paths,omitempty"`   // prefixes; nil: all of them
	Auth    bool     `json:"auth"`              // a credential is added on the way
	Mode    string   `json:"mode"`              // "plain" or "routed"
}

// Base identifies a state of routes: the sha256 of their one form, in hexadecimal.
func Base(routes []Route) string {
	if len(routes) == 0 {
		routes = []Route{} // nil and none are the same state
	}
	return digest(routes)
}

// digest is the sha256 of a value's JSON. The values have no maps, so it is stable.
func digest(value any) string {
	raw, err := json.Marshal(value)
	if err != nil { // cannot happen: strings, numbers and lists of them
		return ""
	}
	sum := sha256.Sum256(bytes.TrimSpace(raw))
	return hex.EncodeToString(sum[:])
}
