package proposal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/proposal/ask"
	"bottle.internal/tests/eventually"
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
func no() proposal.Answer  { return proposal.Answer{Verdict: proposal.Reject, By: "me"} }

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

// The queue is files of this user's own making: what else is there is never followed, opened
// for long or believed, and it is told.
func TestPlantedFilesAreRefused(t *testing.T) {
	t.Parallel()
	planted := strings.Repeat("a", 64) + ".json"
	for _, test := range []struct {
		name  string
		plant func(b *bench, path string) error
		want  string
	}{
		{"a symlink", func(b *bench, path string) error { return os.Symlink(b.path("target"), path) }, "is no regular file"},
		{"a symlink out of the instance", func(_ *bench, path string) error { return os.Symlink("/etc/passwd", path) }, "is no regular file"},
		{"a hard link", func(b *bench, path string) error { return os.Link(b.path("target"), path) }, "has more than one name"},
		{"a pipe", func(_ *bench, path string) error { return syscall.Mkfifo(path, 0o600) }, "is no regular file"},
		{"a directory", func(_ *bench, path string) error { return os.Mkdir(path, 0o700) }, "is no regular file"},
		{"a large file", func(_ *bench, path string) error { return os.WriteFile(path, make([]byte, 65<<10), 0o600) }, "has 66560 bytes, at most 65536 are allowed"},
		{"no JSON", func(_ *bench, path string) error { return os.WriteFile(path, []byte("hello"), 0o600) }, "it is no JSON object"},
		{"another's id", func(_ *bench, path string) error {
			return os.WriteFile(path, []byte(`{"id":"`+strings.Repeat("b", 64)+`","kind":"capability-request","created":"2026-11-01T10:00:00Z","round":0,"capability":{"capability":"x","justification":"y"}}`), 0o600)
		}, "its id is not that of its content"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			good := b.must("a.example.com")
			b.write(b.path("target"), "{}")
			if err := test.plant(b, b.path("proposals", planted)); err != nil {
				t.Fatal(err)
			}
			views, problems := b.desk.List()
			if len(views) != 1 || views[0].Proposal.ID != good || len(problems) != 1 || !strings.Contains(problems[0].Error(), test.want) {
				t.Errorf("List = %d views, %v", len(views), problems)
			}
			if err := test.plant(b, b.path("decisions", good+".json")); err != nil {
				t.Fatal(err)
			}
			eventually.True(t, "the tampering is told", func() bool { return strings.Contains(b.audited(), "queue-tampered") })
			if _, err := b.desk.Decide(good, yes()); err == nil {
				t.Error("a decision was made over a planted one")
			}
			b.reopen()
			if a, err := b.ask("a.example.com"); err != nil || a.Status != ask.Pending {
				t.Errorf("the good proposal: %+v, %v", a, err)
			}
			if len(b.changes) > 0 {
				t.Errorf("a planted decision counted: %+v", b.changes)
			}
		})
	}
}

func TestQueueDirectoryMustBePrivate(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"open to others": func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o755)) },
		"a symlink":      func(dir string) error { return os.Symlink(filepath.Dir(dir), dir) },
		"a file":         func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
	} {
		dir := t.TempDir()
		if err := spoil(filepath.Join(dir, "supervise")); err != nil {
			t.Fatal(err)
		}
		if _, err := proposal.Open(proposal.Config{Instance: dir}); fmt.Sprint(err) != "opening the queue: supervise is no private directory of ours" {
			t.Errorf("%s: Open = %v", name, err)
		}
	}
	if _, err := proposal.OpenDesk(t.TempDir(), "demo-x7k2p"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenDesk without a queue = %v", err)
	}
}

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

func TestKeptFileIsStrict(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"approved":[]}`:       "<nil>",
		`{}`:                    "<nil>",
		`[]`:                    "reading approved.json: it is no JSON object",
		`{"approved":[],"x":1}`: `reading approved.json: unknown field "x"`,
		`{"approved":[{"egress_allow":{"host":"10.0.0.1","justification":"x"}}]}`: `reading approved.json: host "10.0.0.1": it is an address; only names can be asked for`,
		`{"approved":[{"egress_allow":{"host":"A.b","justification":"x"}}]}`:      `reading approved.json: host "A.b": names under .b`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "approved.json"), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := proposal.ReadKept(dir)
		if strings.Contains(data, "A.b") {
			want = "reading approved.json: A.b is not in canonical form"
		}
		if fmt.Sprint(err) != want {
			t.Errorf("%s: %v, want %s", data, err, want)
		}
	}
}

// A kept approval that does not fit the plan any more is left out and told, never widened.
func TestKeptThatDoesNotFit(t *testing.T) {
	t.Parallel()
	kept := []proposal.Kept{
		{ID: strings.Repeat("a", 64), Allow: allow(t, `{"host":"auth.example.com","methods":["POST"],"justification":"x"}`)},
		{ID: strings.Repeat("b", 64), Allow: allow(t, `{"host":"new.example.com","justification":"x"}`)},
	}
	p, problems := proposal.ApplyKept(basePlan(), kept)
	if len(p.Egress) != len(basePlan().Egress)+1 || len(problems) != 1 ||
		problems[0].Error() != "approval aaaaaaaaaaaa is left out: auth.example.com USES env:TOKEN: the approval must name the host once more" {
		t.Errorf("%d routes, %v", len(p.Egress), problems)
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

// Files are whole, private, and hold nothing that a terminal obeys.
func TestFilesOfTheQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, err := b.askFor(`{"host":"a.example.com","justification":"\u001b[2J\u202e\u009b"}`)
	if err != nil {
		t.Fatal(err)
	}
	path := b.path("proposals", a.ID+".json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, r := range string(raw) {
		if r != '\n' && (r < ' ' || r > '~') {
			t.Errorf("the file holds %U", r)
		}
	}
	entries, err := os.ReadDir(b.path("proposals"))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: temporary files are left", entries, err)
	}
}

// FuzzProposalFile plants any bytes as a proposal: what is read is what its name says.
func FuzzProposalFile(f *testing.F) {
	const id = "0aef1ea7b6ac5a6ca5dbb6f5de30d5f1bba84b0f6cdb04b2c6fb1a59b4b0c1de"
	f.Add([]byte(`{"id":"` + id + `","bottle":"demo-x7k2p","kind":"capability-request","created":"2026-11-01T10:00:00Z","round":0,"capability":{"capability":"x","justification":"y"}}`))
	f.Add([]byte(`{"kind":"push-approval","push":{"remote":"app","ref":"refs/heads/x","old":"","new":""}}`))
	dir := f.TempDir()
	queue, err := proposal.Open(proposal.Config{Instance: dir, Plan: basePlan()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(queue.Close)
	desk, err := proposal.OpenDesk(dir, basePlan().Identity)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(desk.Close)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, sub := range []string{"proposals", "decisions", "outcomes"} {
			if err := os.WriteFile(filepath.Join(dir, "supervise", sub, id+".json"), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if view, err := desk.View(id); err == nil {
			t.Fatalf("accepted %+v", view)
		}
	})
}
