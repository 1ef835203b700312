// Package why says what a bottle's daemons would answer to a request, by which line of which
// file, and what to write or to type so that they would answer something else.
//
// Invariants: it is pure; every verdict and every reason is that of the daemons' own
// evaluators ([firewall.Judge], [egress.Judge], [gitgate.DecidePush]) with the inputs that
// they are given ([rules]), nothing is decided here; user info and queries of a URL are never
// in an answer; what it tells to write belongs into the operator's own manifest.
package why

import (
	"time"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/firewall/requestscan"
	"bottle.internal/internal/plan"
)

// Facts are what there is to know about a bottle.
type Facts struct {
	Plan plan.Plan // in force: with what was approved
	// Launched is the plan without approvals; of a bottle that was not started, the same.
	Launched  plan.Plan
	Approvals []Approval
	Waiting   []Waiting
	Started   bool            // otherwise the plan's identity stands in for one that a start draws
	Missing   map[string]bool // credentials that are not there, as [plan.Auth] prints them
	Now       time.Time
	Secrets   *requestscan.Scanner // nil: one of its own
}

// Approval is a route that the operator admitted while the bottle ran.
type Approval struct {
	ID    string
	Allow ask.Allow
	By    string
	At    time.Time
	Kept  bool // after a resume too
}

// Waiting is a question of the agent's that nobody has answered.
type Waiting struct {
	ID    string
	Allow ask.Allow
}

// Request is what is asked about.
type Request struct {
	Method  string
	URL     string
	Headers []string // names
}

// Step is what one daemon says.
type Step struct {
	Layer    string `json:"layer"` // firewall, egress or git-gate
	Allows   bool   `json:"allows"`
	Status   int    `json:"status,omitempty"` // of HTTP
	Rule     string `json:"rule,omitempty"`
	Reason   string `json:"reason"`             // the daemon's own words, if it refuses
	At       string `json:"at,omitempty"`       // where the route was written
	Approval string `json:"approval,omitempty"` // by whom it was admitted instead
}

// Header is what becomes of one of the agent's.
type Header struct {
	Name string `json:"name"`
	Fate string `json:"fate"`
}

// Answer is the whole of it. The last step is the one that decides.
type Answer struct {
	Allowed  bool     `json:"allowed"`
	Question string   `json:"question"` // without user info and query
	Identity string   `json:"identity,omitempty"`
	Agent    string   `json:"agent"`
	Bottle   string   `json:"bottle"`
	Steps    []Step   `json:"steps"`
	Headers  []Header `json:"headers,omitempty"`
	Notes    []string `json:"notes"`
	ToAllow  []string `json:"to_allow"` // lines to write or to type
}

// Decisive is the step that the verdict comes from.
func (a Answer) Decisive() Step { return a.Steps[len(a.Steps)-1] }

func newAnswer(f Facts, question string) Answer {
	return Answer{
		Question: question, Agent: f.Plan.Agent, Bottle: f.Plan.Bottle,
		Steps: []Step{}, Notes: []string{}, ToAllow: []string{},
	}
}

func (a *Answer) note(text string) { a.Notes = append(a.Notes, text) }
