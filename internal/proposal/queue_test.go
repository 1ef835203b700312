package proposal_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
)

func TestHourlyLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 20 {
		b.decide(b.must(fmt.Sprintf("h%d.example.com", i)), no())
		b.advance(time.Minute)
	}
	const want = "20 proposals were made within an hour, which is the limit: ask later"
	if _, err := b.ask("more.example.com"); fmt.Sprint(err) != want {
		t.Errorf("the 21st: %v", err)
	}
	b.reopen() // a resume forgets nothing
	if _, err := b.ask("more.example.com"); fmt.Sprint(err) != want {
		t.Errorf("after a resume: %v", err)
	}
	b.advance(41 * time.Minute)
	b.must("more.example.com")
}

func TestRejectedHostCanBeAskedForAgainAfterTenMinutes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := b.must("a.example.com")
	b.decide(id, no())
	b.advance(9*time.Minute + time.Second)
	if _, err := b.askFor(`{"host":"a.example.com","port":444,"justification":"x"}`); fmt.Sprint(err) != "host a.example.com was rejected: it can be asked for again in 1 minute" {
		t.Errorf("early: %v", err)
	}
	b.advance(time.Minute)
	if again := b.must("a.example.com"); again == id {
		t.Error("the rejected proposal came back to life")
	}
}

// A clock that goes back neither lifts a limit nor makes it last.
func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.decide(b.must("a.example.com"), no())
	b.advance(-48 * time.Hour)
	if a, err := b.ask("a.example.com"); err != nil || a.Status != ask.Rejected {
		t.Errorf("right after: %+v, %v", a, err)
	}
	b.advance(11 * time.Minute)
	b.must("a.example.com")
	b.reopen()
	b.advance(-48 * time.Hour)
	for i := range 4 {
		b.must(fmt.Sprintf("h%d.example.com", i))
	}
	if _, err := b.ask("more.example.com"); err == nil {
		t.Error("the limit of pending proposals is gone")
	}
}

// Questions that wait cannot pile up: beyond the limit the answer comes at once.
func TestWaitersAreBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	queue, err := proposal.Open(proposal.Config{Instance: dir, Plan: plan.Plan{Identity: "demo-x7k2p"}, Limits: proposal.Limits{Waiters: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer queue.Close()
	raw := []byte(`{"tool":"capability-request","arguments":{"capability":"x","justification":"y"},"wait_ms":30000}`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 2)
	for range 2 {
		go func() {
			_, _ = queue.Handle(ctx, raw)
			done <- struct{}{}
		}()
	}
	<-done // one of them did not wait
	cancel()
	<-done
}

func TestRefusalsInTheAuditLogAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 50 {
		if _, err := b.ask("10.0.0.1"); err == nil {
			t.Fatal("an address passed")
		}
	}
	if n := strings.Count(b.audited(), "proposal-refused"); n != 20 {
		t.Errorf("%d refusals are written", n)
	}
	b.advance(time.Second)
	_, _ = b.ask("10.0.0.1")
	if !strings.Contains(b.audited(), `"suppressed":30`) {
		t.Errorf("the count is missing: %s", b.audited())
	}
}
