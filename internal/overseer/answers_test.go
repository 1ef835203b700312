package overseer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/token"
)

// allowed are the questions that have an answer, by daemon.
func allowed() map[string][]string {
	return map[string][]string{
		"egress": {"token"}, "git-gate": {"ssh-agent", "push-approval"}, "supervise": {ask.Kind},
	}
}

// Who asks is init's word; a daemon that was taken over gets no other daemon's answers.
func TestEveryOtherQuestionIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	askers := []string{"", "init", "EGRESS", "egress ", "egress token"}
	for _, d := range daemons.All() {
		askers = append(askers, d.Name)
	}
	refused := 0
	for _, daemon := range askers {
		for _, kind := range []string{"token", "ssh-agent", "push-approval", ask.Kind, "", "tokens", " token", "token "} {
			if strings.Contains(" "+strings.Join(allowed()[daemon], " ")+" ", " "+kind+" ") && kind == strings.TrimSpace(kind) && kind != "" {
				continue
			}
			refused++
			answer, err := b.askRaw(daemon, kind, `{"route":0}`)
			if want := fmt.Sprintf("the daemon %q may not ask for %q", daemon, kind); answer != "" || err == nil || err.Error() != want {
				t.Errorf("%q asking for %q: %s, %v; want %q", daemon, kind, answer, err, want)
			}
		}
	}
	if refused != len(askers)*8-4 || len(b.tokens.refreshed) > 0 {
		t.Errorf("%d refused, tokens asked for %v", refused, b.tokens.refreshed)
	}
	long := strings.Repeat("x", 1000)
	if _, err := b.askRaw(long, long, `{}`); err == nil || len(err.Error()) > 150 {
		t.Errorf("a long name is repeated: %d bytes", len(err.Error()))
	}
}

// The two words of a question are one string in Answer's switch: no other pair may give it.
func TestDaemonAndKindAreNotMixedUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, q := range []control.Question{
		{Daemon: "egress token", Kind: ""}, {Daemon: "", Kind: "egress token"}, {Daemon: "egress ", Kind: "token"}, {Daemon: "egress", Kind: " token"},
	} {
		q.Body = json.RawMessage(`{"route":0}`)
		if _, err := b.Answer(t.Context(), q); err == nil {
			t.Errorf("%q asking for %q was answered", q.Daemon, q.Kind)
		}
	}
}

func TestMalformedQuestions(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	session := `"remote":"app","session":"session-1"`
	for _, test := range []struct{ daemon, kind, body, want string }{
		{"egress", "token", ``, "it is no JSON object"},
		{"egress", "token", `null`, "it is no JSON object"},
		{"egress", "token", `{"route":"0"}`, "it is not understood: route may not be a string"},
		{"egress", "token", `{"route":0,"host":"api.example.com"}`, `unknown field "host"`},
		{"egress", "token", `{"route":0,"route":1}`, `"route" is there twice`},
		{"egress", "token", `{"route":0}{}`, "something follows the object"},
		{"egress", "token", `{"route":-1}`, "there is no such route with a credential"},
		{"egress", "token", `{"route":3}`, "there is no such route with a credential"},
		{"egress", "token", `{"route":2}`, "there is no such route with a credential"},
		{"git-gate", "ssh-agent", `[]`, "it is no JSON object"},
		{"git-gate", "ssh-agent", `{` + session + `,"message":"*"}`, "reading the agent's message: illegal base64 data at input byte 0"},
		{"git-gate", "ssh-agent", `{` + session + `,"message":""}`, "the ssh agent refuses: a message of 0 bytes"},
		{"git-gate", "ssh-agent", `{"remote":"other","session":"session-1","message":"Cw=="}`, "the ssh agent refuses: no such remote"},
		{"git-gate", "push-approval", `{}`, "0 branches at once cannot be approved: push one branch at a time"},
		{"git-gate", "push-approval", `{"remote":"app","refs":[{"ref":"a"},{"ref":"b"}]}`, "2 branches at once cannot be approved: push one branch at a time"},
		{"git-gate", "push-approval", `{"remote":"app","refs":[{"ref":"refs/tags/v1"}]}`, `ref "refs/tags/v1" is no branch`},
		{"supervise", "proposal", `{}`, `there is no tool ""`},
		{"supervise", "proposal", `{"tool":"list-egress-routes"}`, `there is no tool "list-egress-routes"`},
	} {
		answer, err := b.askRaw(test.daemon, test.kind, test.body)
		if answer != "" || err == nil || err.Error() != test.want {
			t.Errorf("%s %s %s: %s, %v; want %q", test.daemon, test.kind, test.body, answer, err, test.want)
		}
	}
	if len(b.tokens.refreshed) > 0 {
		t.Errorf("a malformed question fetched tokens %v", b.tokens.refreshed)
	}
}

// A new token is hidden before anybody has it, and every later input has it.
func TestRefreshedTokenIsHiddenAndKept(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	answer, err := b.ask("egress", "token", map[string]int{"route": 1})
	again := modelToken + "-again-1"
	if err != nil || answer != `{"token":"`+again+`"}` {
		t.Errorf("answer %s, %v", answer, err)
	}
	if len(b.hidden) != 1 || b.hidden[0] != again {
		t.Errorf("hidden %q", b.hidden)
	}
	inputs := b.inputsNow()["egress"]
	if inputs["token.0"].Reveal() != apiToken || inputs["token.1"].Reveal() != again {
		t.Error("the new token is not in the next inputs, or at another route")
	}
}

// What a command wrote to its standard error is for the operator; egress gets the short form.
func TestFailedRefreshKeepsTheDetailForTheOperator(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.tokens.problem = &token.Error{Source: "cmd:vault", Problem: "failed with exit status 2", Detail: "the vault is sealed"}
	if _, err := b.ask("egress", "token", map[string]int{"route": 0}); err == nil || err.Error() != "cmd:vault failed with exit status 2" {
		t.Errorf("egress hears %v", err)
	}
	if want := "no new credential for api.example.com: cmd:vault failed with exit status 2: the vault is sealed"; b.told() != want {
		t.Errorf("told %q, want %q", b.told(), want)
	}
	b.tokens.problem = errors.New("asking cmd:vault: interrupted")
	if _, err := b.ask("egress", "token", map[string]int{"route": 0}); err == nil || err.Error() != "asking cmd:vault: interrupted" {
		t.Errorf("egress hears %v", err)
	}
	if inputs := b.inputsNow()["egress"]; inputs["token.0"].Reveal() != apiToken {
		t.Error("a failure took the token away")
	}
}

func TestBottleWithoutCredentials(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(b *bench) { b.config.Tokens = nil })
	if _, err := b.ask("egress", "token", map[string]int{"route": 0}); err == nil || err.Error() != "this bottle has no credentials" {
		t.Errorf("err = %v", err)
	}
}

// The agent lists the remote's public key and signs nothing for a session that proved nothing.
func TestSSHAgentAnswers(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	body := map[string]string{"remote": "app", "session": "session-1", "message": "Cw=="} // 11: what keys are there
	answer, err := b.ask("git-gate", "ssh-agent", body)
	if err != nil || !strings.HasPrefix(answer, `{"message":"`) || strings.Contains(answer, "PRIVATE") {
		t.Errorf("answer %s, %v", answer, err)
	}
	body["message"] = "DQ==" // 13: sign
	if answer, err := b.ask("git-gate", "ssh-agent", body); err == nil {
		t.Errorf("it signed: %s", answer)
	}
}

// push is the git gate's question for one branch.
func push(files ...string) map[string]any {
	return map[string]any{
		"remote": "app", "commits": 1, "files": files, "reasons": []string{"every push to this remote needs approval", "it changes protected files"},
		"refs": []map[string]string{{"ref": "refs/heads/bottle/topic", "old": zeros, "new": commit}},
	}
}

// asked is the ID of the one pending push.
func (b *bench) asked(files ...string) string {
	b.t.Helper()
	answer, err := b.ask("git-gate", "push-approval", push(files...))
	var got struct{ Decision, Note string }
	if err != nil || json.Unmarshal([]byte(answer), &got) != nil || got.Decision != "pending" {
		b.t.Fatalf("answer %s, %v; want it pending", answer, err)
	}
	return got.Note
}

func TestPushApprovalCountsOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	id := b.asked(".github/workflows/ci.yml")
	if again := b.asked(".github/workflows/ci.yml"); again != id {
		t.Error("the same push is another question")
	}
	if want := "a push to app waits for you: bottle supervise show " + id[:12]; b.told() != want { // once
		t.Errorf("told %q, want %q", b.told(), want)
	}
	b.decide(id, proposal.Answer{Verdict: proposal.Approve, Note: "fine"})
	if answer, err := b.ask("git-gate", "push-approval", push()); err != nil || answer != `{"decision":"approved","note":"fine"}` {
		t.Errorf("after the yes: %s, %v", answer, err)
	}
	if again := b.asked(); again == id {
		t.Error("the approval counts twice")
	}
}

func TestRejectedPush(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.decide(b.asked(), proposal.Answer{Verdict: proposal.Reject, Note: "not on a Friday"})
	if answer, err := b.ask("git-gate", "push-approval", push()); err != nil || answer != `{"decision":"rejected","note":"not on a Friday"}` {
		t.Errorf("after the no: %s, %v", answer, err)
	}
	other := push()
	other["refs"] = []map[string]string{{"ref": "refs/heads/bottle/topic", "old": zeros, "new": strings.Repeat("2", 40)}}
	if answer, err := b.ask("git-gate", "push-approval", other); err != nil || !strings.HasPrefix(answer, `{"decision":"pending"`) {
		t.Errorf("another commit: %s, %v", answer, err)
	}
}

// The git gate names up to 50 protected files beside its reasons; all of them together must
// not be too many for the question, and what is left out is said.
func TestPushThatChangesManyFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var files []string
	for i := range 50 {
		files = append(files, fmt.Sprintf("ci/%02d.yml", i))
	}
	id := b.asked(files...)
	desk, err := proposal.OpenDesk(b.dir, b.config.Plan.Identity)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	view, err := desk.View(id)
	if err != nil {
		t.Fatal(err)
	}
	reasons := view.Proposal.Push.Reasons
	if len(reasons) != 50 || reasons[2] != "it changes ci/00.yml" || reasons[48] != "it changes ci/46.yml" || reasons[49] != "and 3 more reasons" {
		t.Errorf("%d reasons: %q", len(reasons), reasons)
	}
}

// FuzzAnswer: whatever a daemon says, there is no panic, no token for any daemon but egress,
// and no private key for anybody.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []struct{ daemon, kind, body string }{
		{"egress", "token", `{"route":0}`},
		{"firewall", "token", `{"route":1}`},
		{"git-gate", "ssh-agent", `{"remote":"app","session":"session-1","message":"Cw=="}`},
		{"git-gate", "push-approval", `{"remote":"app","refs":[{"ref":"refs/heads/bottle/x","old":"` + zeros + `","new":"` + commit + `"}],"commits":1,"files":[],"reasons":["x"]}`},
		{"supervise", "proposal", `{"tool":"egress-allow","arguments":{"host":"a.example.com","justification":"x"},"wait_ms":0}`},
		{"supervise", "proposal", `{"tool":"capability-request","arguments":{"capability":"x","justification":"x"}}`},
		{"supervise", "proposal", `{"tool":"push-approval","arguments":{"remote":"app","branch":"x","justification":"x"}}`},
		{"gate", "", `null`},
	} {
		f.Add(seed.daemon, seed.kind, []byte(seed.body))
	}
	b := newBench(f, nil)
	f.Fuzz(func(t *testing.T, daemon, kind string, body []byte) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nobody waits for a person here
		answer, err := b.Answer(ctx, control.Question{Daemon: daemon, Kind: kind, Body: body})
		if err != nil {
			if answer != nil && daemon != "supervise" {
				t.Errorf("%v beside %v", answer, err)
			}
			return
		}
		raw, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(raw); (strings.Contains(text, "-token-") && daemon != "egress") || strings.Contains(text, "PRIVATE") {
			t.Errorf("%q gets %s", daemon, text)
		}
	})
}

// A daemon that asks in a loop must not make the log's list of secrets grow.
func TestTheSameTokenIsHiddenOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.tokens.same = true
	for range 3 {
		if _, err := b.ask("egress", "token", map[string]int{"route": 0}); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.hidden) != 0 {
		t.Errorf("hidden %d times", len(b.hidden))
	}
}
