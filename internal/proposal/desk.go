package proposal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/plan"
)

// ErrStale means that the operator decided about something that is not there any more.
var ErrStale = errors.New("it changed since you looked")

// ErrDecided means that another decision was made before.
var ErrDecided = errors.New("it is decided already")

const awaitPoll = 20 * time.Millisecond

// Desk is the operator's side of a queue, in any process of the owner's user.
type Desk struct {
	store  *store
	bottle string
	now    func() time.Time
}

// Answer is what the operator says to a view.
type Answer struct {
	Verdict        Verdict
	Note           string
	Keep           bool
	WithCredential string // the host, typed again
	By             string
	Seen           string // [View.Seen] of what was shown just now; "" after an earlier Show
}

// OpenDesk opens the queue of the bottle with this identity, in its instance directory;
// [fs.ErrNotExist] if it never had one.
func OpenDesk(instance, identity string) (*Desk, error) {
	s, err := openStore(instance, false)
	if err != nil {
		return nil, err
	}
	return &Desk{store: s, bottle: identity, now: time.Now}, nil
}

// Close gives the directory back.
func (d *Desk) Close() { d.store.close() }

// List returns every proposal, oldest first, and what could not be read.
func (d *Desk) List() ([]View, []error) {
	ids, err := d.store.ids(proposalsDir)
	if err != nil {
		return nil, []error{err}
	}
	var views []View
	var problems []error
	for _, id := range ids {
		view, err := d.View(id)
		switch {
		case errors.Is(err, ErrNotFound): // pruned in between
		case err != nil:
			problems = append(problems, err)
		default:
			views = append(views, view)
		}
	}
	slices.SortStableFunc(views, func(a, b View) int { return a.Proposal.Created.Compare(b.Proposal.Created) })
	return views, problems
}

// Current is the plan that the owner has in force: that of the launch, and what was approved.
func (d *Desk) Current() (plan.Plan, error) { return readCurrent(d.store) }

// IDs returns the IDs of all proposals, readable or not.
func (d *Desk) IDs() ([]string, error) { return d.store.ids(proposalsDir) }

// Show reads one proposal and remembers that the operator saw it like this.
func (d *Desk) Show(id string) (View, error) {
	view, err := d.View(id)
	if err != nil || view.Outcome != nil {
		return view, err
	}
	_, err = d.store.write(fileOf(shownDir, id), shown{Proposal: view.Digest, Base: view.Base})
	return view, err
}

// Decide records the operator's answer, on disk before it returns. The same answer again is
// no error; another one is [ErrDecided]. A proposal whose host has other routes than when it
// was proposed, or that is not the one that was shown, is [ErrStale] until it is shown again.
func (d *Desk) Decide(id string, answer Answer) (View, error) {
	unlock, err := d.store.lock()
	if err != nil {
		return View{}, err
	}
	defer unlock()
	view, err := d.View(id)
	if err != nil {
		return view, err
	}
	decision, err := d.compose(view, answer)
	if err != nil {
		return view, err
	}
	if view.Decision != nil || view.Outcome != nil {
		if view.Decision != nil && view.Decision.same(decision) {
			return view, nil
		}
		return view, fmt.Errorf("%w: %s", ErrDecided, past(view))
	}
	if answer.Verdict == Approve { // a rejection changes nothing, so it needs no fresh look
		if err := errors.Join(d.checkFresh(view, answer), approvable(view, answer)); err != nil {
			return view, err
		}
	}
	if _, err := d.store.write(fileOf(decisionsDir, id), decision); err != nil {
		return view, err
	}
	view.Decision = &decision
	return view, nil
}

func (d *Desk) compose(view View, answer Answer) (Decision, error) {
	p := view.Proposal
	switch {
	case len(answer.Note) > maxNote:
		return Decision{}, fmt.Errorf("the note has %d bytes, at most %d are allowed", len(answer.Note), maxNote)
	case answer.WithCredential != "" && p.Allow == nil:
		return Decision{}, errors.New("a credential belongs to a route, and this asks for none")
	case answer.Keep && p.Allow == nil:
		return Decision{}, errors.New("only a route can be kept")
	case answer.WithCredential != "" && answer.WithCredential != p.Allow.Host:
		return Decision{}, fmt.Errorf("the proposal is about %s, not %q", p.Allow.Host, answer.WithCredential)
	case answer.WithCredential != "" && view.Uses == "" && view.Outcome == nil:
		return Decision{}, fmt.Errorf("no credential is added for %s", p.Allow.Host)
	}
	by := answer.By
	if len(by) > maxBy {
		by = by[:maxBy]
	}
	return Decision{
		ID: p.ID, Proposal: view.Digest, Base: view.Base, Verdict: answer.Verdict, Note: answer.Note, Keep: answer.Keep,
		WithCredential: answer.WithCredential, DecidedAt: d.now().UTC().Round(0), By: by,
	}, nil
}

func past(view View) string {
	if view.Decision != nil && view.Decision.Verdict == Approve || view.Decision == nil && view.Status != ask.Rejected {
		return "approved"
	}
	return "rejected"
}

// checkFresh holds the decision to what the operator saw. A proposal names all that there is
// to see unless the routes of its host changed since.
func (d *Desk) checkFresh(view View, answer Answer) error {
	if answer.Seen != "" {
		if answer.Seen != view.Seen() {
			return ErrStale
		}
		return nil
	}
	var seen shown
	raw, err := d.store.read(fileOf(shownDir, view.Proposal.ID), maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if view.Changed() {
			return ErrStale
		}
		return nil
	case err != nil:
		return err
	}
	if err := ask.Decode(raw, &seen); err != nil {
		return fmt.Errorf("reading what was shown of %.12s: %w", view.Proposal.ID, err)
	}
	if seen.Proposal != view.Digest || seen.Base != view.Base {
		return ErrStale
	}
	return nil
}

// approvable refuses what the owner would refuse, while the operator is still there.
func approvable(view View, answer Answer) error {
	if view.Problem != "" {
		return errors.New(view.Problem)
	}
	if view.Uses != "" && answer.WithCredential == "" {
		return &CredentialError{Host: view.Proposal.Allow.Host, Uses: view.Uses}
	}
	return nil
}

// Await waits until the owner has carried a decision out.
func (d *Desk) Await(ctx context.Context, id string) (Outcome, error) {
	ticker := time.NewTicker(awaitPoll)
	defer ticker.Stop()
	for {
		outcome, err := readOutcome(d.store, id)
		if !errors.Is(err, fs.ErrNotExist) {
			return outcome, err
		}
		select {
		case <-ctx.Done():
			return outcome, context.Cause(ctx)
		case <-ticker.C:
		}
	}
}
