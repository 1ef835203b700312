package proposal_test

import (
	"fmt"
	"testing"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/proposal"
)

// Who types a host once more types the one of the proposal, or decides nothing.
func TestRetypedHostIsTheProposals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, err := b.askFor(`{"host":"auth.example.com","methods":["POST"],"justification":"x"}`)
	if err != nil {
		t.Fatal(err)
	}
	answer := yes()
	answer.WithCredential = "other.example.com"
	if _, err := b.desk.Decide(a.ID, answer); fmt.Sprint(err) != `the proposal is about auth.example.com, not "other.example.com"` {
		t.Errorf("Decide = %v", err)
	}
}

// An approval is for this run, unless the operator says more.
func TestApprovalIsForThisRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if outcome := b.decide(b.must("a.example.com"), yes()); outcome.Status != ask.Approved {
		t.Fatalf("outcome %+v", outcome)
	}
	if kept, err := proposal.ReadKept(b.dir); err != nil || len(kept) > 0 {
		t.Errorf("kept %v, %v", kept, err)
	}
}
