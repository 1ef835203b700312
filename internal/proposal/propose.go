package proposal

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"bottle.internal/internal/ask"
)

// maxKept bounds how many settled proposals stay on disk; the audit log has all of them.
const maxKept = 500

// propose returns the proposal that already stands for what is wanted, or makes one. The
// limits hold for new ones only: asking again is free.
func (q *Queue) propose(wanted Proposal) (*entry, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.config.Now()
	for _, e := range q.entries {
		e.born, e.at = notAfter(e.born, now), notAfter(e.at, now) // the clock went back: count from here
	}
	for ; ; wanted.Round++ {
		wanted.ID = wanted.identify()
		e, taken := q.entries[wanted.ID]
		if !taken {
			break
		}
		if q.stands(e, now) {
			return e, nil
		}
	}
	if err := q.limit(wanted, now); err != nil {
		return nil, err
	}
	wanted.Created = now.UTC().Round(0)
	return q.enter(wanted, now)
}

// stands reports whether e still answers its question.
func (q *Queue) stands(e *entry, now time.Time) bool {
	if e.outcome == nil {
		return true
	}
	switch e.outcome.Status {
	case ask.Approved:
		// An approval of an earlier run is not in force any more.
		return !e.outcome.Used && (e.proposal.Allow == nil || Covers(q.plan, *e.proposal.Allow))
	case ask.Rejected:
		return now.Sub(e.at) < q.config.Limits.Rest
	default:
		return false
	}
}

func (q *Queue) limit(wanted Proposal, now time.Time) error {
	limits := q.config.Limits
	pending, recent := 0, 0
	for _, e := range q.entries {
		if e.outcome == nil {
			pending++
		} else if rest := limits.Rest - now.Sub(e.at); e.outcome.Status == ask.Rejected && rest > 0 && e.proposal.subject() == wanted.subject() {
			return fmt.Errorf("%s was rejected: it can be asked for again in %s", wanted.subject(), minutes(rest))
		}
		if now.Sub(e.born) < time.Hour {
			recent++
		}
	}
	switch {
	case pending >= limits.Pending:
		return fmt.Errorf("%d proposals wait for the operator already: wait for a decision before you ask for more", pending)
	case recent >= limits.Hourly:
		return fmt.Errorf("%d proposals were made within an hour, which is the limit: ask later", recent)
	case len(q.entries) >= maxKept+limits.Pending:
		return q.prune()
	}
	return nil
}

func minutes(d time.Duration) string {
	n := int((d + time.Minute - 1) / time.Minute)
	if n == 1 {
		return "1 minute"
	}
	return fmt.Sprintf("%d minutes", n)
}

// prune forgets the oldest settled proposal.
func (q *Queue) prune() error {
	var oldest *entry
	for _, e := range q.entries {
		if e.outcome != nil && (oldest == nil || e.at.Before(oldest.at)) {
			oldest = e
		}
	}
	if oldest == nil {
		return errors.New("the queue is full")
	}
	id := oldest.proposal.ID
	for _, dir := range []string{decisionsDir, shownDir, outcomesDir, proposalsDir} { // the proposal last
		if err := q.store.forget(fileOf(dir, id)); err != nil {
			return fmt.Errorf("making room in the queue: %w", err)
		}
	}
	delete(q.entries, id)
	return nil
}

// enter writes a new proposal. It is audited before anybody can decide it.
func (q *Queue) enter(p Proposal, now time.Time) (*entry, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	// A decision that was there before the proposal was not made for it.
	for _, dir := range []string{decisionsDir, shownDir} {
		if err := q.store.forget(fileOf(dir, p.ID)); err != nil {
			return nil, fmt.Errorf("the queue cannot be written: %w", err)
		}
	}
	q.config.Audit(EventProposal, fields(p))
	raw, err := q.store.write(fileOf(proposalsDir, p.ID), p)
	if err != nil {
		return nil, fmt.Errorf("the queue cannot be written: %w", err)
	}
	e := &entry{proposal: p, digest: sum(raw), born: now, done: make(chan struct{})}
	q.entries[p.ID] = e
	q.nudge()
	return e, nil
}

// pending are the undecided entries, oldest first.
func (q *Queue) pending() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []*entry
	for _, e := range q.entries {
		if e.outcome == nil {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *entry) int { return a.born.Compare(b.born) })
	return out
}

// fields is what the audit log keeps of a proposal.
func fields(p Proposal) map[string]any {
	out := map[string]any{"id": p.ID, "kind": string(p.Kind)}
	switch {
	case p.Allow != nil:
		out["host"], out["port"], out["methods"], out["paths"] = p.Allow.Host, p.Allow.Port, p.Allow.Methods, p.Allow.Paths
		out["justification"] = p.Allow.Justification
	case p.Capability != nil:
		out["capability"], out["justification"] = p.Capability.Capability, p.Capability.Justification
	case p.Push != nil:
		out["remote"], out["ref"], out["old"], out["new"], out["reasons"] = p.Push.Remote, p.Push.Ref, p.Push.Old, p.Push.New, p.Push.Reasons
	}
	return out
}
