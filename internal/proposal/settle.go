package proposal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/plan"
)

// Run puts decisions into force until ctx ends. While nothing is pending it sleeps; else it
// looks into the directory every 50 ms. It is called once.
func (q *Queue) Run(ctx context.Context) {
	ticker := time.NewTicker(q.config.Limits.Poll)
	defer ticker.Stop()
	for {
		ticker.Stop()
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		ticker.Reset(q.config.Limits.Poll)
		for q.look(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}
}

// look settles what was decided and reports whether more is pending.
func (q *Queue) look(ctx context.Context) bool {
	undecided := q.pending()
	left := len(undecided)
	for _, e := range undecided {
		if ctx.Err() != nil {
			return true
		}
		raw, err := q.store.read(fileOf(decisionsDir, e.proposal.ID), maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var decision Decision
		if err == nil {
			decision, err = parseDecision(raw)
		}
		if err != nil {
			if !e.accused {
				e.accused = true
				q.tampered(e.proposal.ID, fmt.Errorf("its decision: %w", err))
			}
			continue
		}
		q.settle(ctx, e, decision)
		left--
	}
	return left > 0
}

// settle carries a decision out and records what came of it.
func (q *Queue) settle(ctx context.Context, e *entry, d Decision) {
	now := q.config.Now()
	outcome := Outcome{ID: e.proposal.ID, Note: d.Note, At: now.UTC().Round(0), Status: ask.Rejected}
	if d.Verdict == Approve {
		outcome.Status = ask.Approved
	}
	if err := q.carryOut(ctx, e, d); err != nil {
		outcome.Status, outcome.Problem = ask.Failed, err.Error()
		if kept := (*keepError)(nil); errors.As(err, &kept) {
			outcome.Status = ask.Approved // it is in force all the same
		}
	}
	record := fields(e.proposal)
	maps.Copy(record, map[string]any{
		"verdict": string(d.Verdict), "status": string(outcome.Status), "by": d.By, "note": d.Note,
		"keep": d.Keep, "with_credential": d.WithCredential, "decided_at": d.DecidedAt, "problem": outcome.Problem,
	})
	// Nobody learns of the outcome before it is in the audit log: a kill in between makes the
	// next owner carry the decision out again, and say so again.
	q.mu.Lock()
	defer q.mu.Unlock()
	q.config.Audit(EventDecision, record)
	if _, err := q.store.write(fileOf(outcomesDir, e.proposal.ID), outcome); err != nil {
		record["problem"] = "its outcome cannot be written: " + err.Error()
		q.config.Audit(EventDecision, record)
	}
	e.outcome, e.at = &outcome, now
	close(e.done)
}

// carryOut checks that the decision is about what is there, and puts it into force.
func (q *Queue) carryOut(ctx context.Context, e *entry, d Decision) error {
	_, digest, err := readProposal(q.store, e.proposal.ID, e.proposal.Bottle)
	switch {
	case err != nil:
		return fmt.Errorf("the proposal is gone from the queue: %w", err)
	case digest != e.digest:
		return errors.New("the proposal's file was changed")
	case d.ID != e.proposal.ID || d.Proposal != e.digest:
		return errors.New("the decision is about something else than what is proposed")
	case d.Verdict != Approve || e.proposal.Allow == nil:
		return nil
	}
	allow := *e.proposal.Allow
	current := q.Plan()
	if d.Base != BaseOf(current, allow.Host) {
		return fmt.Errorf("the routes of %s changed after the operator looked at them", allow.Host)
	}
	next, effect, err := Apply(current, allow, d.WithCredential)
	if err != nil {
		return err
	}
	if err := q.config.OnChange(ctx, Change{Proposal: e.proposal, Decision: d, Effect: effect, Plan: next}); err != nil {
		return err
	}
	q.mu.Lock()
	q.plan = next
	q.mu.Unlock()
	return q.record(e.proposal, d, next)
}

// record writes down what is in force already.
func (q *Queue) record(p Proposal, d Decision, next plan.Plan) error {
	var problems []error
	if _, err := q.store.write(currentFile, next); err != nil {
		problems = append(problems, fmt.Errorf("open, but the record of what is in force is old: %w", err))
	}
	if d.Keep {
		if err := q.keep(p, d); err != nil {
			problems = append(problems, fmt.Errorf("open, but for this run only: %w", err))
		}
	}
	if len(problems) > 0 {
		return &keepError{errors.Join(problems...)}
	}
	return nil
}

// keepError means that a route is in force and something about its record failed.
type keepError struct{ error }

func (e *keepError) Unwrap() error { return e.error }
