package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle.internal/internal/app"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/proposal/ask"
	"bottle.internal/internal/state"
	"bottle.internal/tests/logtest"
)

// supervised is a bottle with a living owner, and an app that finds it.
type supervised struct {
	t     *testing.T
	app   *app.App
	queue *proposal.Queue
}

func newSupervised(t *testing.T) *supervised {
	t.Helper()
	home := t.TempDir()
	application, err := app.New(app.Config{Environ: []string{"HOME=" + home}, Dir: home})
	if err != nil {
		t.Fatal(err)
	}
	root, err := state.OpenRoot(filepath.Join(home, ".local/state/bottle"))
	if err != nil {
		t.Fatal(err)
	}
	instance, err := root.Create(names.Identity("demo-aaaaa"))
	if err != nil {
		t.Fatal(err)
	}
	queue, err := proposal.Open(proposal.Config{
		Instance: instance.Dir(), OnChange: func(context.Context, proposal.Change) error { return nil },
		Plan: plan.Plan{Identity: "demo-aaaaa", Firewall: plan.Firewall{Hosts: []plan.Host{
			{Host: "auth.example.com", Port: 443, Scheme: "https", Mode: "routed"},
		}}, Egress: []plan.Route{{
			Host: "auth.example.com", Port: 443, Methods: []string{"GET"}, Paths: []string{"/"}, Auth: &plan.Auth{Source: "env", Name: "TOKEN"},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { queue.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		queue.Close()
		instance.Unlock()
	})
	return &supervised{t: t, app: application, queue: queue}
}

func (s *supervised) ask(tool ask.Tool, arguments string) ask.Answer {
	s.t.Helper()
	raw, err := json.Marshal(ask.Question{Tool: tool, Arguments: json.RawMessage(arguments)})
	if err != nil {
		s.t.Fatal(err)
	}
	a, err := s.queue.Handle(s.t.Context(), raw)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// With a living owner approve says what came of it.
func TestApproveOfALivingBottle(t *testing.T) {
	t.Parallel()
	s := newSupervised(t)
	id := s.ask(ask.ToolAllow, `{"host":"docs.example.com","justification":"x"}`).ID
	var out bytes.Buffer
	session := &session{Streams: Streams{Stdout: &out}, app: s.app, args: []string{id[:8]}}
	format := formatText
	if err := session.superviseDecide(t.Context(), "approve", superviseFlags{format: &format}); err != nil {
		t.Fatal(err)
	}
	if want := id[:12] + " GET,HEAD docs.example.com:443 ALL PATHS: approved, and in force\n"; out.String() != want {
		t.Errorf("said %q, want %q", out.String(), want)
	}
	if a := s.ask(ask.ToolAllow, `{"host":"docs.example.com","justification":"x"}`); a.Status != ask.Approved {
		t.Errorf("the agent got %+v", a)
	}
}

// The live screen, on a terminal: keys in, a decision out, the terminal as it was before.
func TestBoardOnATerminal(t *testing.T) {
	t.Parallel()
	s := newSupervised(t)
	first := s.ask(ask.ToolCapability, `{"capability":"docker","justification":"to build\u001b[2J"}`).ID
	session, keyboard, _ := terminal(t)
	session.app = s.app
	screen := &logtest.Buffer{}
	go func() { _, _ = io.Copy(screen, keyboard) }() // ends when the terminal is closed
	done := make(chan error, 1)
	go func() { done <- session.board(t.Context(), "") }()
	press := func(keys string) {
		if _, err := keyboard.WriteString(keys); err != nil {
			t.Error(err)
		}
	}
	screen.AwaitText(t, first[:12])
	press("\r")
	screen.AwaitText(t, "a approve") // keys that are typed before the details are there are dropped
	press("r")
	screen.AwaitText(t, "why?")
	press("no\r")
	screen.AwaitText(t, "rejected")
	if a := s.ask(ask.ToolCapability, `{"capability":"docker","justification":"x"}`); a.Status != ask.Rejected || a.Note != "no" {
		t.Errorf("the agent got %+v", a)
	}
	press("q")
	if err := <-done; err != nil {
		t.Error(err)
	}
	text := screen.AwaitText(t, leaveScreen)
	if !strings.Contains(text, first[:12]) || !strings.Contains(text, `  | to build\x1b[2J`) || strings.Contains(text, "build\x1b[2J") {
		t.Errorf("the screen was %q", text)
	}
}

func row(id, kind string, v proposal.View) app.Proposal {
	v.Proposal.ID = strings.Repeat(id, 64)
	v.Status = ask.Pending
	if kind == "allow" {
		v.Proposal.Allow = &ask.Allow{Host: "a.example.com", Port: 443, Methods: []string{"GET"}, Paths: []string{"/"}, Justification: "x"}
	} else {
		v.Proposal.Capability = &ask.Capability{Capability: kind, Justification: "x"}
	}
	v.Digest, v.Base = strings.Repeat("d", 64), "base"
	return app.Proposal{Identity: "demo-aaaaa", View: v}
}

// Nothing is decided from the list: what is approved is what the details show.
func TestBoardDecidesOnlyWhatItShows(t *testing.T) {
	t.Parallel()
	var b board
	b.update([]app.Proposal{row("a", "allow", proposal.View{}), row("b", "docker", proposal.View{})}, nil)
	b.key('j')
	if i := b.key('a'); i.decide != "" || i.show != strings.Repeat("b", 64) {
		t.Errorf("a in the list: %+v", i)
	}
	b.show(b.rows[1])
	if i := b.key('a'); i.decide != strings.Repeat("b", 64) || i.answer.Verdict != proposal.Approve || i.answer.Seen != strings.Repeat("d", 64)+"base" {
		t.Errorf("a in the details: %+v", i)
	}
	b.key('r')
	for _, key := range "nope" {
		b.key(key)
	}
	b.key(127)
	if i := b.key('\r'); i.answer.Verdict != proposal.Reject || i.answer.Note != "nop" {
		t.Errorf("r: %+v", i)
	}
	b.key('q')
	if b.quit || b.open != nil {
		t.Error("q in the details must go back")
	}
	if b.key('q'); !b.quit {
		t.Error("q in the list must end")
	}
}

// A credential is used only if its host is typed, letter by letter.
func TestBoardAsksForTheCredentialsHost(t *testing.T) {
	t.Parallel()
	var b board
	b.show(row("a", "allow", proposal.View{Uses: "env:TOKEN"}))
	if i := b.key('a'); i.decide != "" {
		t.Fatalf("a approved at once: %+v", i)
	}
	if lines := b.lines(80, 24); lines[len(lines)-1] != "it USES env:TOKEN: type the host to approve: " {
		t.Errorf("the last line is %q", lines[len(lines)-1])
	}
	if i := b.key('\r'); i.decide != "" {
		t.Errorf("an empty host: %+v", i)
	}
	b.key('a')
	for _, key := range "a.example.com" {
		b.key(key)
	}
	if i := b.key('\r'); i.answer.WithCredential != "a.example.com" {
		t.Errorf("the typed host: %+v", i)
	}
	b.show(row("a", "allow", proposal.View{Problem: "no"}))
	if i := b.key('a'); i.decide != "" || b.message != "it cannot be approved" {
		t.Errorf("an impossible approval: %+v, %q", i, b.message)
	}
}

func TestBoardFitsTheTerminal(t *testing.T) {
	t.Parallel()
	var b board
	var rows []app.Proposal
	for _, id := range "0123456789abcdef" {
		rows = append(rows, row(string(id), strings.Repeat("東京 ", 80)+"\x1b[2J\n", proposal.View{}))
	}
	b.update(rows, nil)
	for range 12 {
		b.key('j')
	}
	for _, open := range []bool{false, true} {
		if open {
			b.show(rows[0])
		}
		lines := b.lines(40, 10)
		if len(lines) > 10 {
			t.Errorf("%d lines", len(lines))
		}
		for _, line := range lines {
			if len([]rune(line)) > 40 || strings.ContainsAny(line, "\x1b\n\r\t") {
				t.Errorf("line %q", line)
			}
		}
	}
}

func TestFollower(t *testing.T) {
	t.Parallel()
	f := follower{last: map[string]app.Proposal{}, told: map[string]bool{}}
	old := row("0", "old", proposal.View{})
	old.Status, old.Outcome = ask.Approved, &proposal.Outcome{Status: ask.Approved}
	first := row("a", "docker\x1b[2J", proposal.View{})
	var out bytes.Buffer
	look := func(rows ...app.Proposal) {
		for _, c := range f.follow(rows, time.Unix(1_800_000_000, 0)) {
			if err := writeChange(&out, formatText, c); err != nil {
				t.Fatal(err)
			}
		}
	}
	look(old, first)
	look(old, first)
	first.Decision = &proposal.Decision{Verdict: proposal.Reject, Note: "use\npodman"}
	look(old, first)
	first.Status, first.Outcome = ask.Rejected, &proposal.Outcome{Status: ask.Rejected}
	look(old, first)
	look(old)
	want := `2027-01-15T08:00:00Z demo-aaaaa proposed aaaaaaaaaaaa pending: capability: docker\x1b[2J
2027-01-15T08:00:00Z demo-aaaaa decided aaaaaaaaaaaa pending: capability: docker\x1b[2J (use podman)
2027-01-15T08:00:00Z demo-aaaaa settled aaaaaaaaaaaa rejected: capability: docker\x1b[2J (use podman)
`
	if out.String() != want {
		t.Errorf("watch said:\n%swant:\n%s", out.String(), want)
	}
}
