// Package proposal is the host's side of supervise: the queue of what the agent asked for
// and what the operator decided.
//
// One process owns a bottle's queue ([Queue]): it alone writes proposals and outcomes. Any
// other process of the same user may look at it and decide ([Desk]). They meet in a directory
// of the instance (0700), which no container sees:
//
//	supervise/proposals/ID.json  written once, by the owner
//	supervise/shown/ID.json      what the operator was shown last
//	supervise/decisions/ID.json  written once, by the operator
//	supervise/outcomes/ID.json   what came of it, by the owner
//	supervise/current.json       the plan as it is in force
//	approved.json                approvals that outlive the run
//
// Invariants: files are written whole, synced, and appear under their name at once; what is
// read is a regular file with one name and of bounded size, never a link or a device; an ID is
// the sha256 of what is asked for, so equal questions are one proposal; a decision names the
// sha256 of the proposal and of the routes that the operator saw, and counts for nothing else;
// every proposal and every decision is audited.
package proposal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/printable"
)

// ErrNotFound means that there is no such proposal.
var ErrNotFound = errors.New("no such proposal")

// Proposal is one thing that the agent asked for; exactly one of Allow, Capability and Push
// is there.
type Proposal struct {
	ID         string          `json:"id"` // sha256, in hexadecimal
	Bottle     string          `json:"bottle"`
	Kind       ask.Tool        `json:"kind"`
	Created    time.Time       `json:"created"`
	Round      int             `json:"round"`          // how often the same was asked and settled before
	Base       string          `json:"base,omitempty"` // [BaseOf] its host, when it was made
	Allow      *ask.Allow      `json:"egress_allow,omitempty"`
	Capability *ask.Capability `json:"capability,omitempty"`
	Push       *Push           `json:"push,omitempty"`
}

// Push is a push that waits for a human. It stands for these two commits and no others.
type Push struct {
	Remote  string   `json:"remote"`
	Ref     string   `json:"ref"` // full, such as refs/heads/bottle/topic
	Old     string   `json:"old"` // object ID, zeros for a new branch
	New     string   `json:"new"`
	Reasons []string `json:"reasons"` // why a human is asked, such as "it changes .github/workflows/ci.yml"
}

// Verdict is what the operator says.
type Verdict string

// The verdicts.
const (
	Approve Verdict = "approve"
	Reject  Verdict = "reject"
)

// Decision is the operator's answer to one proposal as it was shown.
type Decision struct {
	ID             string    `json:"id"`
	Proposal       string    `json:"proposal_sha256"` // of the file that was shown
	Base           string    `json:"base,omitempty"`  // the routes of its host that were shown
	Verdict        Verdict   `json:"verdict"`
	Note           string    `json:"note,omitempty"`
	Keep           bool      `json:"keep"`                      // on resume too
	WithCredential string    `json:"with_credential,omitempty"` // the host, typed again
	DecidedAt      time.Time `json:"decided_at"`
	By             string    `json:"by"` // the operator's user name
}

// Outcome is what came of a decision.
type Outcome struct {
	ID      string     `json:"id"`
	Status  ask.Status `json:"status"` // approved, rejected or failed
	Problem string     `json:"problem,omitempty"`
	Note    string     `json:"note,omitempty"`
	At      time.Time  `json:"at"`
	Used    bool       `json:"used,omitempty"` // a push approval counts once
}

const (
	maxFile = 64 << 10
	maxNote = 500
	maxBy   = 100
)

var (
	idPattern  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	oidPattern = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	refPattern = regexp.MustCompile(`^refs/heads/(.+)$`)
)

// identify computes the ID. The justification is no part of it: the same wish in other words
// is the same wish, and must not get around the limits.
func (p Proposal) identify() string {
	p.ID, p.Created = "", time.Time{}
	if p.Allow != nil {
		allow := *p.Allow
		allow.Justification = ""
		p.Allow = &allow
	}
	if p.Capability != nil {
		p.Capability = &ask.Capability{Capability: p.Capability.Capability}
	}
	if p.Push != nil {
		push := *p.Push
		push.Reasons = nil
		p.Push = &push
	}
	return sum(ask.Marshal(p))
}

// subject is what a rejected proposal keeps the agent from asking again for a while.
func (p Proposal) subject() string {
	switch {
	case p.Allow != nil:
		return "host " + p.Allow.Host
	case p.Capability != nil:
		return "capability " + p.Capability.Capability
	case p.Push != nil:
		return "push of " + p.Push.New + " to " + p.Push.Remote + " " + p.Push.Ref
	}
	return ""
}

// parseProposal reads a proposal's file back and checks it as if it came from outside.
func parseProposal(raw []byte) (Proposal, error) {
	var p Proposal
	if err := ask.Decode(raw, &p); err != nil {
		return Proposal{}, err
	}
	if err := p.check(); err != nil {
		return Proposal{}, err
	}
	return p, nil
}

func (p Proposal) check() error {
	if p.Round < 0 || p.Created.IsZero() {
		return errors.New("it has no time, or a negative round")
	}
	if err := p.checkContent(); err != nil {
		return err
	}
	if p.ID != p.identify() {
		return errors.New("its id is not that of its content")
	}
	return nil
}

func (p Proposal) checkContent() error {
	contents := 0
	for _, there := range []bool{p.Allow != nil, p.Capability != nil, p.Push != nil} {
		if there {
			contents++
		}
	}
	switch {
	case contents != 1:
	case p.Kind == ask.ToolAllow && p.Allow != nil:
		again, err := p.Allow.Canonical([]string{p.Allow.Host})
		if err == nil && !bytes.Equal(ask.Marshal(again), ask.Marshal(p.Allow)) {
			err = errors.New("it is not in canonical form")
		}
		return err
	case p.Kind == ask.ToolCapability && p.Capability != nil:
		_, err := p.Capability.Canonical()
		return err
	case p.Kind == ask.ToolPush && p.Push != nil:
		return p.Push.check()
	}
	return fmt.Errorf("its kind %.40q and its content disagree", p.Kind)
}

func (p Push) check() error {
	if err := names.Validate(p.Remote); err != nil {
		return fmt.Errorf("remote: %w", err)
	}
	branch := refPattern.FindStringSubmatch(p.Ref)
	if branch == nil {
		return fmt.Errorf("ref %.80q is no branch", p.Ref)
	}
	if err := ask.CheckBranch(branch[1]); err != nil {
		return err
	}
	if !oidPattern.MatchString(p.Old) || !oidPattern.MatchString(p.New) || len(p.Old) != len(p.New) {
		return fmt.Errorf("%.70q and %.70q are no pair of object ids", p.Old, p.New)
	}
	if len(p.Reasons) > 50 || slices.ContainsFunc(p.Reasons, func(r string) bool { return len(r) > 500 }) {
		return errors.New("more than 50 reasons, or one of more than 500 bytes")
	}
	return nil
}

func parseDecision(raw []byte) (Decision, error) {
	var d Decision
	if err := ask.Decode(raw, &d); err != nil {
		return d, err
	}
	switch {
	case d.Verdict != Approve && d.Verdict != Reject:
		return d, fmt.Errorf("verdict %.40q", d.Verdict)
	case !idPattern.MatchString(d.ID) || !idPattern.MatchString(d.Proposal):
		return d, errors.New("it names no proposal")
	case len(d.Note) > maxNote || len(d.By) > maxBy:
		return d, errors.New("its texts are too long")
	}
	return d, nil
}

// same tells whether two decisions say the same, whenever and by whom they were made. Once
// the first is in force, the routes are others by it.
func (d Decision) same(other Decision) bool {
	d.DecidedAt, d.By, d.Base = other.DecidedAt, other.By, other.Base
	return d == other
}

// Routes is what the agent may know of a plan's routes, sorted.
func Routes(p plan.Plan) []ask.Route {
	routes := []ask.Route{}
	for _, host := range p.Firewall.Hosts {
		route := ask.Route{Host: host.Host, Port: host.Port, Mode: host.Mode}
		if i := findRoute(p, host.Host, host.Port); host.Mode == modeRouted && i >= 0 {
			route.Methods, route.Paths, route.Auth = p.Egress[i].Methods, p.Egress[i].Paths, p.Egress[i].Auth != nil
		}
		routes = append(routes, route)
	}
	return routes
}

// Public is what the supervise daemon gets of a plan; its Render is the daemon's input.
func Public(p plan.Plan) ask.Public {
	public := ask.Public{Identity: p.Identity, Routes: Routes(p), Remotes: []ask.Remote{}, TestNames: p.Echo}
	for _, r := range p.Git.Remotes {
		public.Remotes = append(public.Remotes, ask.Remote{Name: r.Name, Branches: r.Branches, Approve: r.Approve, Protect: r.Protect})
	}
	return public
}

// BaseOf is the [ask.Base] of the routes of one host: what an approval for it builds on.
// Approvals for other hosts do not change it.
func BaseOf(p plan.Plan, host string) string {
	return ask.Base(slices.DeleteFunc(Routes(p), func(r ask.Route) bool { return r.Host != host }))
}

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

// encode writes no character that a terminal could obey: somebody may look at the file.
func encode(value any) ([]byte, error) {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding %T: %w", value, err)
	}
	return []byte(printable.SafeJSON(string(raw)) + "\n"), nil
}
