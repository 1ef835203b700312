package proposal_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/proposal"
)

// Two processes decide at once: one wins, the other is told, and one change is made.
func TestTwoOperators(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 10 {
		id := b.must(fmt.Sprintf("h%d.example.com", i))
		results := make(chan error, 2)
		for _, answer := range []proposal.Answer{yes(), no()} {
			go func() {
				desk, err := proposal.OpenDesk(b.dir, basePlan().Identity)
				if err == nil {
					defer desk.Close()
					_, err = desk.Decide(id, answer)
				}
				results <- err
			}()
		}
		first, second := <-results, <-results
		if (first == nil) == (second == nil) || !errors.Is(errors.Join(first, second), proposal.ErrDecided) {
			t.Fatalf("two decisions: %v and %v", first, second)
		}
		if _, err := b.desk.Await(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheSameDecisionAgainIsNoError(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.must("a.example.com")
	b.decide(id, yes())
	if _, err := b.desk.Decide(id, yes()); err != nil {
		t.Errorf("the same: %v", err)
	}
	if _, err := b.desk.Decide(id, no()); fmt.Sprint(err) != "it is decided already: approved" {
		t.Errorf("another: %v", err)
	}
	if len(b.changes) != 1 {
		t.Errorf("%d changes", len(b.changes))
	}
}

func TestDecisionForAVanishedProposal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.must("a.example.com")
	view, err := b.desk.View(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(b.path("proposals", id+".json")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.desk.Decide(id, yes()); !errors.Is(err, proposal.ErrNotFound) {
		t.Errorf("Decide = %v", err)
	}
	// Nor does the owner follow a decision that was made all the same.
	b.write(b.path("decisions", id+".json"), text(proposal.Decision{
		ID: id, Proposal: view.Digest, Base: view.Base, Verdict: proposal.Approve, DecidedAt: time.Now(),
	}))
	outcome, err := b.desk.Await(t.Context(), id)
	if err != nil || outcome.Status != ask.Failed || !strings.HasPrefix(outcome.Problem, "the proposal is gone from the queue: ") || len(b.changes) > 0 {
		t.Errorf("outcome %+v, %v, %d changes", outcome, err, len(b.changes))
	}
}

// A decision counts for the bytes and the routes that were shown, and for nothing else.
func TestDecisionIsBoundToWhatWasShown(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct {
		spoil func(*proposal.Decision)
		want  string
	}{
		"another proposal": {func(d *proposal.Decision) { d.Proposal = strings.Repeat("0", 64) }, "the decision is about something else than what is proposed"},
		"another id":       {func(d *proposal.Decision) { d.ID = strings.Repeat("0", 64) }, "the decision is about something else than what is proposed"},
		"other routes":     {func(d *proposal.Decision) { d.Base = strings.Repeat("0", 64) }, "the routes of a.example.com changed after the operator looked at them"},
	} {
		b := newBench(t)
		id := b.must("a.example.com")
		view, err := b.desk.View(id)
		if err != nil {
			t.Fatal(err)
		}
		decision := proposal.Decision{ID: id, Proposal: view.Digest, Base: view.Base, Verdict: proposal.Approve, DecidedAt: time.Now()}
		change.spoil(&decision)
		b.write(b.path("decisions", id+".json"), text(decision))
		outcome, err := b.desk.Await(t.Context(), id)
		if err != nil || outcome.Status != ask.Failed || outcome.Problem != change.want || len(b.changes) > 0 {
			t.Errorf("%s: %+v, %v, %d changes", name, outcome, err, len(b.changes))
		}
	}
}

// Two proposals for one host: after the first is in force, the second must be looked at again.
func TestStaleBase(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.must("a.example.com")
	other := b.must("b.example.com")
	second, err := b.askFor(`{"host":"a.example.com","methods":["POST"],"justification":"x"}`)
	if err != nil {
		t.Fatal(err)
	}
	view, err := b.desk.View(second.ID)
	if err != nil {
		t.Fatal(err)
	}
	b.decide(first, yes())
	answer := yes()
	if _, err := b.desk.Decide(second.ID, answer); !errors.Is(err, proposal.ErrStale) {
		t.Errorf("unseen: %v", err)
	}
	answer.Seen = view.Seen()
	if _, err := b.desk.Decide(second.ID, answer); !errors.Is(err, proposal.ErrStale) {
		t.Errorf("seen before: %v", err)
	}
	b.decide(other, yes()) // another host is no reason to look again
	if _, err := b.desk.Show(second.ID); err != nil {
		t.Fatal(err)
	}
	if outcome := b.decide(second.ID, yes()); outcome.Status != ask.Approved {
		t.Errorf("shown again: %+v", outcome)
	}
}

// Without the credential's host typed again, a route that carries one stays as it is: the
// operator's side refuses, and the owner refuses a decision that got around it.
func TestCredentialNeedsItsHost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, err := b.askFor(`{"host":"auth.example.com","methods":["POST"],"justification":"x"}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.desk.Decide(a.ID, yes()); fmt.Sprint(err) != "auth.example.com USES env:TOKEN: the approval must name the host once more" {
		t.Errorf("Decide = %v", err)
	}
	view, err := b.desk.View(a.ID)
	if err != nil || view.Uses != "env:TOKEN" {
		t.Fatalf("view %+v, %v", view, err)
	}
	b.write(b.path("decisions", a.ID+".json"), text(proposal.Decision{ID: a.ID, Proposal: view.Digest, Base: view.Base, Verdict: proposal.Approve, DecidedAt: time.Now()}))
	if outcome, err := b.desk.Await(t.Context(), a.ID); err != nil || outcome.Status != ask.Failed || len(b.changes) > 0 {
		t.Errorf("the owner: %+v, %v", outcome, err)
	}
	again, err := b.askFor(`{"host":"auth.example.com","methods":["POST"],"justification":"x"}`)
	if err != nil || again.ID == a.ID {
		t.Fatalf("asked again: %+v, %v", again, err)
	}
	answer := yes()
	answer.WithCredential = "auth.example.com"
	if outcome := b.decide(again.ID, answer); outcome.Status != ask.Approved {
		t.Errorf("typed again: %+v", outcome)
	}
}

// What cannot be put into force is no approval, and the agent may ask again.
func TestOnChangeFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.refuse = errors.New("the bundle is gone")
	id := b.must("a.example.com")
	answer := yes()
	answer.Keep = true
	if outcome := b.decide(id, answer); outcome.Status != ask.Failed || outcome.Problem != "the bundle is gone" {
		t.Errorf("outcome %+v", outcome)
	}
	if kept, err := proposal.ReadKept(b.dir); err != nil || len(kept) > 0 {
		t.Errorf("kept %v, %v", kept, err)
	}
	if again := b.must("a.example.com"); again == id {
		t.Error("the failed proposal came back")
	}
	if proposal.Covers(b.queue.Plan(), allow(t, `{"host":"a.example.com","justification":"x"}`)) {
		t.Error("the plan has the route all the same")
	}
}

// A decision made while no owner lived is carried out by the next one.
func TestDecisionWhileTheOwnerIsGone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.must("a.example.com")
	b.stop()
	desk, err := proposal.OpenDesk(b.dir, basePlan().Identity)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	answer := yes()
	answer.Keep = true
	if _, err := desk.Decide(id, answer); err != nil {
		t.Fatal(err)
	}
	b.open()
	if outcome, err := b.desk.Await(t.Context(), id); err != nil || outcome.Status != ask.Approved {
		t.Errorf("outcome %+v, %v", outcome, err)
	}
	kept, err := proposal.ReadKept(b.dir)
	if err != nil || len(kept) != 1 || kept[0].Allow.Host != "a.example.com" || kept[0].Credential {
		t.Errorf("kept %+v, %v", kept, err)
	}
}

func TestAuditOfADecision(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.must("a.example.com")
	b.decide(id, yes())
	want := `decision {"by":"me","decided_at":`
	if !strings.Contains(b.audited(), want) || !strings.Contains(b.audited(), `"host":"a.example.com","id":"`+id+`"`) {
		t.Errorf("audit:\n%s", b.audited())
	}
}
