package proposal_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/proposal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a queue, the operator's desk and a clock that the test moves.
type bench struct {
	t     *testing.T
	dir   string
	queue *proposal.Queue
	desk  *proposal.Desk
	stop  func()

	mu      sync.Mutex
	now     time.Time
	audits  []string
	changes []proposal.Change
	refuse  error // what OnChange says
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)}
	b.open()
	return b
}

func (b *bench) open() {
	b.t.Helper()
	kept, err := proposal.ReadKept(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	p, problems := proposal.ApplyKept(basePlan(), kept)
	if len(problems) > 0 {
		b.t.Fatal(problems)
	}
	b.queue, err = proposal.Open(proposal.Config{
		Instance: b.dir, Plan: p, Now: b.clock, Limits: proposal.Limits{Poll: time.Millisecond},
		OnChange: func(_ context.Context, c proposal.Change) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.changes = append(b.changes, c)
			return b.refuse
		},
		Audit: func(event string, fields map[string]any) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.audits = append(b.audits, event+" "+text(fields))
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.queue.Run(ctx) })
	if b.desk, err = proposal.OpenDesk(b.dir, basePlan().Identity); err != nil {
		b.t.Fatal(err)
	}
	b.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		b.queue.Close()
		b.desk.Close()
	})
	b.t.Cleanup(b.stop)
}

// reopen is the owner dead and its bottle resumed.
func (b *bench) reopen() {
	b.stop()
	b.open()
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *bench) audited() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.audits, "\n")
}

func (b *bench) ask(host string) (ask.Answer, error) {
	return b.askFor(`{"host":"` + host + `","justification":"x"}`)
}

func (b *bench) askFor(arguments string) (ask.Answer, error) {
	raw, err := json.Marshal(ask.Question{Tool: ask.ToolAllow, Arguments: json.RawMessage(arguments)})
	if err != nil {
		b.t.Fatal(err)
	}
	return b.queue.Handle(b.t.Context(), raw)
}

// must asks for a host and returns the ID of what is pending then.
func (b *bench) must(host string) string {
	b.t.Helper()
	a, err := b.ask(host)
	if err != nil || a.Status != ask.Pending {
		b.t.Fatalf("asking for %s: %+v, %v", host, a, err)
	}
	return a.ID
}

func (b *bench) decide(id string, a proposal.Answer) proposal.Outcome {
	b.t.Helper()
	if _, err := b.desk.Decide(id, a); err != nil {
		b.t.Fatal(err)
	}
	outcome, err := b.desk.Await(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return outcome
}

func (b *bench) path(parts ...string) string {
	return filepath.Join(append([]string{b.dir, "supervise"}, parts...)...)
}

func (b *bench) write(path, data string) {
	b.t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func yes() proposal.Answer { return proposal.Answer{Verdict: proposal.Approve, By: "me"} }

func no() proposal.Answer { return proposal.Answer{Verdict: proposal.Reject, By: "me"} }
