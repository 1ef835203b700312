package proposal

import (
	"errors"
	"fmt"
	"io/fs"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/plan"
)

// View is a proposal as the operator sees it.
type View struct {
	Proposal Proposal   `json:"proposal"`
	Digest   string     `json:"sha256"` // of the proposal's file
	Base     string     `json:"base,omitempty"`
	Status   ask.Status `json:"status"`
	Decision *Decision  `json:"decision,omitempty"`
	Outcome  *Outcome   `json:"outcome,omitempty"`
	Route    *Effect    `json:"route,omitempty"`   // what an approval would do
	Uses     string     `json:"uses,omitempty"`    // the credential that the route carries
	Problem  string     `json:"problem,omitempty"` // why it cannot be approved
}

// Changed reports whether the routes of the host are others than when it was proposed.
func (v View) Changed() bool { return v.Base != v.Proposal.Base }

// Seen names all that the view shows.
func (v View) Seen() string { return v.Digest + v.Base }

// shown is what the operator saw of a proposal last.
type shown struct {
	Proposal string `json:"proposal_sha256"`
	Base     string `json:"base"`
}

// View reads one proposal.
func (d *Desk) View(id string) (View, error) {
	if !idPattern.MatchString(id) {
		return View{}, fmt.Errorf("%w: %.70q", ErrNotFound, id)
	}
	p, digest, err := readProposal(d.store, id, d.bottle)
	if errors.Is(err, fs.ErrNotExist) {
		return View{}, fmt.Errorf("%w: %.12s", ErrNotFound, id)
	}
	if err != nil {
		return View{}, err
	}
	view := View{Proposal: p, Digest: digest, Status: ask.Pending}
	outcome, err := readOutcome(d.store, id)
	if err == nil {
		view.Outcome, view.Status = &outcome, outcome.Status
	} else if !errors.Is(err, fs.ErrNotExist) {
		return View{}, err
	}
	if view.Decision, err = d.decision(id); err != nil {
		return View{}, err
	}
	if p.Allow != nil {
		current, err := readCurrent(d.store)
		if err != nil {
			return View{}, err
		}
		d.preview(&view, current)
	}
	return view, nil
}

// preview says what an approval would do, credential included.
func (d *Desk) preview(view *View, current plan.Plan) {
	allow := *view.Proposal.Allow
	view.Base = BaseOf(current, allow.Host)
	if i := findRoute(current, allow.Host, allow.Port); i >= 0 && current.Egress[i].Auth != nil {
		view.Uses = current.Egress[i].Auth.String()
	}
	if view.Outcome != nil {
		return
	}
	if _, effect, err := Apply(current, allow, allow.Host); err != nil {
		view.Problem = err.Error()
	} else {
		view.Route = &effect
	}
}

func (d *Desk) decision(id string) (*Decision, error) {
	raw, err := d.store.read(fileOf(decisionsDir, id), maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // not decided is no problem
	}
	if err != nil {
		return nil, err
	}
	decision, err := parseDecision(raw)
	if err != nil {
		return nil, fmt.Errorf("decision about %.12s: %w", id, err)
	}
	return &decision, nil
}
