package supervise_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/supervise"
	"bottle.internal/tests/fakenet"
)

// both are a daemon and the host behind it. A call does not wait unless it is told to.
func both(t *testing.T, wait time.Duration) (*daemon, *host) {
	t.Helper()
	h := newHost(t, t.TempDir(), proposal.Limits{})
	return start(t, supervise.Config{Channel: h.channel(), Public: proposal.Public(testPlan()), Wait: wait}), h
}

const soon = time.Nanosecond // shorter than any decision

func TestListShowsNoCredential(t *testing.T) {
	t.Parallel()
	d, _ := both(t, soon)
	a := d.must(d.client(), "list-egress-routes", nil)
	for _, want := range []string{`"host":"api.example.com"`, `"auth":true`, `"mode":"plain"`, `"branches":["bottle/*"]`, `"bottle":"demo-x7k2p"`} {
		if !strings.Contains(a.text, want) {
			t.Errorf("the list lacks %s: %s", want, a.text)
		}
	}
	if strings.Contains(a.text, "SECRET_TOKEN") || strings.Contains(a.text, "Authorization") {
		t.Errorf("the list names a credential: %s", a.text)
	}
}

// The whole road: asked, pending, asked again, approved, live, audited, listed.
func TestApprovedRouteIsLive(t *testing.T) {
	t.Parallel()
	d, h := both(t, soon)
	agent := d.client()
	wanted := object{"host": "Docs.Example.com", "paths": []string{"/go/"}, "justification": "to read the manual"}
	first := d.must(agent, "egress-allow", wanted)
	if first.Status != ask.Pending || first.failed || len(first.ID) != 64 {
		t.Fatalf("first answer %+v", first)
	}
	wanted["justification"] = "in other words"
	if again := d.must(agent, "egress-allow", wanted); again.ID != first.ID || again.Status != ask.Pending {
		t.Errorf("asked again: %+v, want the same proposal", again)
	}
	before := h.plan()
	h.decide(first.ID, proposal.Answer{Verdict: proposal.Approve, Note: "fine"})
	after := h.plan()
	if len(after.Firewall.Hosts) != len(before.Firewall.Hosts)+1 || len(after.Egress) != len(before.Egress)+1 {
		t.Fatalf("more or less than one route changed: %+v", after)
	}
	if got := d.must(agent, "egress-allow", wanted); got.Status != ask.Approved {
		t.Errorf("asked after the approval: %+v", got)
	}
	h.audited("proposal ", first.ID, "to read the manual")
	h.audited("decision ", first.ID, `"verdict":"approve"`, `"status":"approved"`, `"by":"operator"`, `"note":"fine"`)
	// The lead's launch delivers the new list; here the test does.
	d.config.Channel.(*channel).inputs <- inputsOf(t, after)
	for !strings.Contains(d.must(agent, "list-egress-routes", nil).text, `"host":"docs.example.com"`) {
		if t.Context().Err() != nil {
			t.Fatal("the new route is not listed")
		}
	}
	if strings.Contains(d.log.String(), "manual") || strings.Contains(d.log.String(), "other words") {
		t.Errorf("the daemon's log has what the agent wrote: %s", d.log)
	}
}

// A call that waits gets the decision, and the operator's words, as soon as they are there.
func TestDecisionReachesTheWaitingCall(t *testing.T) {
	t.Parallel()
	d, h := both(t, ask.MaxWait)
	agent := d.client()
	done := make(chan answer, 1)
	go func() {
		a, err := call(t.Context(), agent, "capability-request", object{"capability": "docker", "justification": "to build"})
		if err != nil {
			t.Error(err)
		}
		done <- a
	}()
	view := h.proposed()
	h.decide(view.Proposal.ID, proposal.Answer{Verdict: proposal.Reject, Note: "use podman"})
	if a := <-done; a.Status != ask.Rejected || a.Note != "use podman" || a.failed {
		t.Errorf("answer %+v", a)
	}
}

func TestRejectedHostRests(t *testing.T) {
	t.Parallel()
	d, h := both(t, soon)
	agent := d.client()
	wanted := object{"host": "a.example.com", "justification": "x"}
	id := d.must(agent, "egress-allow", wanted).ID
	h.decide(id, proposal.Answer{Verdict: proposal.Reject, Note: "no"})
	if a := d.must(agent, "egress-allow", wanted); a.Status != ask.Rejected || a.Note != "no" || a.ID != id {
		t.Errorf("the same again: %+v, want the same answer", a)
	}
	wanted["methods"] = []string{"POST"}
	if a := d.must(agent, "egress-allow", wanted); !a.failed || a.text != "host a.example.com was rejected: it can be asked for again in 10 minutes" {
		t.Errorf("the host in another way: %+v", a)
	}
	wanted["host"] = "b.example.com"
	if a := d.must(agent, "egress-allow", wanted); a.failed || a.Status != ask.Pending {
		t.Errorf("another host: %+v", a)
	}
}

func TestSixthPendingIsRefused(t *testing.T) {
	t.Parallel()
	d, h := both(t, soon)
	agent := d.client()
	for _, host := range []string{"a", "b", "c", "d", "e"} {
		if a := d.must(agent, "egress-allow", object{"host": host + ".example.com", "justification": "x"}); a.Status != ask.Pending {
			t.Fatalf("%s: %+v", host, a)
		}
	}
	a := d.must(agent, "egress-allow", object{"host": "f.example.com", "justification": "x"})
	if !a.failed || a.text != "5 proposals wait for the operator already: wait for a decision before you ask for more" {
		t.Errorf("the sixth: %+v", a)
	}
	if again := d.must(agent, "egress-allow", object{"host": "a.example.com", "justification": "x"}); again.Status != ask.Pending {
		t.Errorf("asking again for the first: %+v", again)
	}
	h.audited("proposal-refused ", "5 proposals wait")
}

// A daemon that dies while a call waits loses nothing: the same session goes on, and the same
// question meets its answer.
func TestRestartOfTheDaemonWhileACallWaits(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir(), proposal.Limits{})
	// A port that the kernel gives away by itself could be another's before the restart.
	d := startAt(t, fakenet.FreeAddr(t), supervise.Config{Channel: h.channel(), Public: proposal.Public(testPlan()), Wait: ask.MaxWait})
	agent := d.client()
	wanted := object{"host": "a.example.com", "justification": "x"}
	broken := make(chan answer, 1)
	go func() {
		a, _ := call(t.Context(), agent, "egress-allow", wanted) // an error, or a last word
		broken <- a
	}()
	id := h.proposed().Proposal.ID
	d = d.restart()
	if a := <-broken; a.Status == ask.Approved {
		t.Errorf("the call was answered with %+v", a)
	}
	h.decide(id, proposal.Answer{Verdict: proposal.Approve})
	if a := d.must(d.client(), "egress-allow", wanted); a.Status != ask.Approved {
		t.Errorf("after the restart: %+v", a)
	}
}

// An agent that hangs up gives its slot back at once, and its proposal stays.
func TestDisconnectedClient(t *testing.T) {
	t.Parallel()
	h := newHost(t, t.TempDir(), proposal.Limits{})
	d := start(t, supervise.Config{Channel: h.channel(), Public: proposal.Public(testPlan()), Sessions: 1})
	agent := d.client()
	ctx, hangUp := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := call(ctx, agent, "egress-allow", object{"host": "a.example.com", "justification": "x"})
		done <- err
	}()
	id := h.proposed().Proposal.ID
	hangUp()
	if err := <-done; err == nil {
		t.Error("the call did not end")
	}
	d.slotIsBack()
	if view, err := h.desk.View(id); err != nil || view.Status != ask.Pending {
		t.Errorf("the proposal: %+v, %v", view, err)
	}
}

// Kept approvals, and only those, are in force after a resume; a route that is not can be
// asked for again and does not answer from the past.
func TestResume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := newHost(t, dir, proposal.Limits{})
	d := start(t, supervise.Config{Channel: h.channel(), Public: proposal.Public(testPlan()), Wait: soon})
	agent := d.client()
	for host, keep := range map[string]bool{"kept.example.com": true, "once.example.com": false} {
		id := d.must(agent, "egress-allow", object{"host": host, "justification": "x"}).ID
		h.decide(id, proposal.Answer{Verdict: proposal.Approve, Keep: keep})
	}
	d.stop()
	h.stop()
	h = newHost(t, dir, proposal.Limits{})
	d = start(t, supervise.Config{Channel: h.channel(), Public: proposal.Public(h.plan()), Wait: soon})
	agent = d.client()
	if a := d.must(agent, "egress-allow", object{"host": "kept.example.com", "justification": "x"}); a.Status != ask.Approved {
		t.Errorf("kept: %+v", a)
	}
	if a := d.must(agent, "egress-allow", object{"host": "once.example.com", "justification": "x"}); a.Status != ask.Pending {
		t.Errorf("for the first run only: %+v", a)
	}
	if n := len(h.plan().Egress); n != len(testPlan().Egress)+1 {
		t.Errorf("%d routes in force after the resume", n)
	}
}

func TestPushApproval(t *testing.T) {
	t.Parallel()
	d, h := both(t, soon)
	agent := d.client()
	wanted := object{"remote": "app", "branch": "bottle/topic", "justification": "x"}
	if a := d.must(agent, "push-approval", wanted); a.Status != ask.Nothing {
		t.Errorf("before a push: %+v", a)
	}
	push := proposal.Push{
		Remote: "app", Ref: "refs/heads/bottle/topic", Old: strings.Repeat("0", 40), New: strings.Repeat("a", 40),
		Reasons: []string{"it changes .github/workflows/ci.yml"},
	}
	asked, err := h.queue.AskPush(t.Context(), push, 0)
	if err != nil || asked.Status != ask.Pending {
		t.Fatalf("AskPush = %+v, %v", asked, err)
	}
	if a := d.must(agent, "push-approval", wanted); a.Status != ask.Pending || a.ID != asked.ID {
		t.Errorf("while it waits: %+v", a)
	}
	h.decide(asked.ID, proposal.Answer{Verdict: proposal.Approve})
	if a := d.must(agent, "push-approval", wanted); a.Status != ask.Approved || a.Message != "approved, once: push the same commit again" {
		t.Errorf("after the approval: %+v", a)
	}
	other := push
	other.New = strings.Repeat("b", 40)
	if got, err := h.queue.AskPush(t.Context(), other, 0); err != nil || got.Status != ask.Pending {
		t.Errorf("another commit: %+v, %v", got, err)
	}
	if got, err := h.queue.AskPush(t.Context(), push, 0); err != nil || got.Status != ask.Approved {
		t.Errorf("the approved push: %+v, %v", got, err)
	}
	if got, err := h.queue.AskPush(t.Context(), push, 0); err != nil || got.Status != ask.Pending || got.ID == asked.ID {
		t.Errorf("the same push once more: %+v, %v; want a new proposal", got, err)
	}
}
