package proposal

import (
	"context"
	"time"

	"bottle.internal/internal/ask"
)

// AskPush asks for a push: it returns the outcome, waiting for it at most patience (and
// never more than 30 s). An approval counts once: the call that returns [ask.Approved] has
// used it up, on disk first, and the same push needs a new one. Errors are for the person
// who pushes.
func (q *Queue) AskPush(ctx context.Context, push Push, patience time.Duration) (ask.Answer, error) {
	if err := push.check(); err != nil {
		return ask.Answer{}, q.refuse(ask.ToolPush, err)
	}
	e, err := q.propose(Proposal{Bottle: q.config.Plan.Identity, Kind: ask.ToolPush, Push: &push})
	if err != nil {
		return ask.Answer{}, q.refuse(ask.ToolPush, err)
	}
	q.wait(ctx, e, min(patience, ask.MaxWait))
	answer := q.answer(e)
	if answer.Status != ask.Approved {
		return answer, nil
	}
	used, err := q.use(e)
	if err != nil {
		return ask.Answer{}, err
	}
	if used {
		answer.Status, answer.Message = ask.Failed, "this approval was used up by another push"
	}
	return answer, nil
}

// use marks an approval as used and reports whether it was before.
func (q *Queue) use(e *entry) (before bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.outcome.Used {
		return true, nil
	}
	outcome := *e.outcome
	outcome.Used = true
	if _, err := q.store.write(fileOf(outcomesDir, e.proposal.ID), outcome); err != nil {
		return false, err
	}
	e.outcome = &outcome
	return false, nil
}

// pushState answers the push-approval tool: how the newest push of a branch stands. It makes
// no proposal: only the git gate, which saw the commits, does.
func (q *Queue) pushState(ctx context.Context, question ask.Question) (ask.Answer, error) {
	wanted, err := ask.ParsePush(question.Arguments)
	if err != nil {
		return ask.Answer{}, q.refuse(ask.ToolPush, err)
	}
	e := q.newestPush(wanted.Remote, "refs/heads/"+wanted.Branch)
	if e == nil {
		return ask.Answer{
			Status: ask.Nothing, Message: "no push of this branch waits for approval: push first, then ask",
		}, nil
	}
	q.wait(ctx, e, question.Wait())
	answer := q.answer(e)
	if answer.Status == ask.Approved {
		answer.Message = "approved, once: push the same commit again"
		if q.isUsed(e) {
			answer.Message = "approved and pushed"
		}
	}
	return answer, nil
}

func (q *Queue) isUsed(e *entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return e.outcome != nil && e.outcome.Used
}

func (q *Queue) newestPush(remote, ref string) *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	var newest *entry
	for _, e := range q.entries {
		if p := e.proposal.Push; p == nil || p.Remote != remote || p.Ref != ref {
			continue
		}
		if newest == nil || e.born.After(newest.born) {
			newest = e
		}
	}
	return newest
}
