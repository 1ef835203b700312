package proposal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/plan"
)

// Events of the audit log.
const (
	EventProposal = "proposal" // the agent asked for something new
	EventDecision = "decision" // the operator decided, and what came of it
	EventRefused  = "proposal-refused"
	EventTampered = "queue-tampered" // a file of the queue is not what it should be
)

// Change is an approved egress-allow on its way into force.
type Change struct {
	Proposal Proposal
	Decision Decision
	Effect   Effect
	Plan     plan.Plan // with the route in it: what is to be in force
}

// Limits bound what an agent can ask. Zero fields get the default.
type Limits struct {
	Pending int           // undecided proposals; default 5
	Hourly  int           // new proposals in an hour; default 20
	Rest    time.Duration // of what was rejected; default 10 min
	Waiters int           // questions that wait at a time; default 32
	Poll    time.Duration // how often decisions are looked for; default 50 ms
}

func (l Limits) withDefaults() Limits {
	orInt := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	orTime := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	orInt(&l.Pending, 5)
	orInt(&l.Hourly, 20)
	orInt(&l.Waiters, 32)
	orTime(&l.Rest, 10*time.Minute)
	orTime(&l.Poll, 50*time.Millisecond)
	return l
}

// Config is what a [Queue] needs.
type Config struct {
	Instance string    // directory of the instance
	Plan     plan.Plan // as it is in force, kept approvals included ([ApplyKept])
	// OnChange puts an approved route into force, or says why it cannot. It is called by
	// [Queue.Run], one change at a time; nil refuses them all.
	OnChange func(ctx context.Context, change Change) error
	// Audit records an event. Texts from the agent are among the fields. It must not call
	// the queue. nil drops them.
	Audit  func(event string, fields map[string]any)
	Limits Limits
	Now    func() time.Time // nil: time.Now
}

// Queue is the owner's side. Make it with [Open]; Run must be running for decisions to take
// effect; Close it after Run has returned.
type Queue struct {
	config Config
	store  *store
	wake   chan struct{} // something is pending

	mu      sync.Mutex
	plan    plan.Plan
	entries map[string]*entry
	waiters int
	refused refusals
}

// entry is a proposal in memory. Done is closed when outcome is there.
type entry struct {
	proposal Proposal
	digest   string    // of the file
	born, at time.Time // of the proposal and of the outcome; never later than now
	outcome  *Outcome
	done     chan struct{}
	accused  bool // its bad decision file was audited
}

// Open opens the queue of a bottle that this process owns, with what an earlier owner left.
func Open(config Config) (*Queue, error) {
	config.Limits = config.Limits.withDefaults()
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Audit == nil {
		config.Audit = func(string, map[string]any) {}
	}
	if config.OnChange == nil {
		config.OnChange = func(context.Context, Change) error { return errors.New("nobody puts routes into force") }
	}
	s, err := openStore(config.Instance, true)
	if err != nil {
		return nil, err
	}
	q := &Queue{config: config, store: s, wake: make(chan struct{}, 1), plan: config.Plan, entries: map[string]*entry{}}
	if err := q.load(); err != nil {
		s.close()
		return nil, err
	}
	if _, err := s.write(currentFile, q.plan); err != nil {
		s.close()
		return nil, err
	}
	return q, nil
}

// Close gives the directory back.
func (q *Queue) Close() { q.store.close() }

// Plan is the plan in force, approvals included.
func (q *Queue) Plan() plan.Plan {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.plan
}

// load reads what is there. A file that is not what it should be is audited and left out.
func (q *Queue) load() error {
	ids, err := q.store.ids(proposalsDir)
	if err != nil {
		return fmt.Errorf("reading the queue: %w", err)
	}
	now := q.config.Now()
	for _, id := range ids {
		p, digest, err := readProposal(q.store, id, q.config.Plan.Identity)
		if err != nil {
			q.tampered(id, err)
			continue
		}
		e := &entry{proposal: p, digest: digest, born: notAfter(p.Created, now), done: make(chan struct{})}
		outcome, err := readOutcome(q.store, id)
		switch {
		case err == nil:
			e.outcome, e.at = &outcome, notAfter(outcome.At, now)
			close(e.done)
		case !errors.Is(err, fs.ErrNotExist):
			// Nobody can tell any more what was decided: it is not, and never will be.
			q.tampered(id, err)
			e.outcome = &Outcome{ID: id, Status: ask.Failed, Problem: "its outcome cannot be read"}
			e.at = now
			close(e.done)
		}
		q.entries[id] = e
	}
	q.nudge()
	return nil
}

func (q *Queue) tampered(id string, err error) {
	q.config.Audit(EventTampered, map[string]any{"id": id, "problem": err.Error()})
}

func notAfter(at, now time.Time) time.Time {
	if at.After(now) {
		return now
	}
	return at
}

// nudge tells Run that something may be pending.
func (q *Queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Handle answers one question of the supervise daemon ([ask.Kind]). It waits for the
// operator as long as the question says, at most 30 s, and not at all when too many wait
// already; call it in a goroutine of its own. Errors are for the agent to read.
func (q *Queue) Handle(ctx context.Context, raw json.RawMessage) (ask.Answer, error) {
	question, err := ask.ParseQuestion(raw)
	if err != nil {
		return ask.Answer{}, err
	}
	if question.Tool == ask.ToolPush {
		return q.pushState(ctx, question)
	}
	wanted, err := q.wanted(question)
	if err != nil {
		return ask.Answer{}, q.refuse(question.Tool, err)
	}
	if wanted.Allow != nil && Covers(q.Plan(), *wanted.Allow) {
		return ask.Answer{Status: ask.Approved, Message: "it is allowed already"}, nil
	}
	e, err := q.propose(wanted)
	if err != nil {
		return ask.Answer{}, q.refuse(question.Tool, err)
	}
	q.wait(ctx, e, question.Wait())
	return q.answer(e), nil
}

// wanted is the proposal that a question stands for, without round, ID and time.
func (q *Queue) wanted(question ask.Question) (Proposal, error) {
	p := Proposal{Bottle: q.config.Plan.Identity, Kind: question.Tool}
	switch question.Tool {
	case ask.ToolAllow:
		known := q.Plan()
		allow, err := ask.ParseAllow(question.Arguments, known.Echo)
		if err != nil {
			return p, err
		}
		p.Allow, p.Base = &allow, BaseOf(known, allow.Host)
	default:
		capability, err := ask.ParseCapability(question.Arguments)
		if err != nil {
			return p, err
		}
		p.Capability = &capability
	}
	return p, nil
}

// wait waits for the outcome of e.
func (q *Queue) wait(ctx context.Context, e *entry, patience time.Duration) {
	q.mu.Lock()
	if q.waiters >= q.config.Limits.Waiters || patience <= 0 {
		q.mu.Unlock()
		return
	}
	q.waiters++
	q.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-e.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	q.mu.Lock()
	q.waiters--
	q.mu.Unlock()
}

// answer tells how e stands.
func (q *Queue) answer(e *entry) ask.Answer {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := ask.Answer{ID: e.proposal.ID, Status: ask.Pending, Message: "the operator has not decided yet: ask again with the same arguments"}
	if e.outcome == nil {
		return a
	}
	a.Status, a.Note = e.outcome.Status, e.outcome.Note
	switch {
	case a.Status == ask.Approved && e.proposal.Allow != nil:
		a.Message = "approved: the route is open now"
	case a.Status == ask.Approved:
		a.Message = "approved"
	case a.Status == ask.Rejected:
		a.Message = "rejected by the operator: do not ask for it again now, find another way or say what is missing"
	default:
		a.Message = "approved, but it could not be put into force: " + e.outcome.Problem
	}
	return a
}
