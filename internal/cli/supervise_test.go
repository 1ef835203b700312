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

	"bottle.internal/internal/app"
	"bottle.internal/internal/ask"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
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
	format := formatText
	go func() { done <- session.superviseWatch(t.Context(), superviseFlags{format: &format}) }()
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
	text := screen.AwaitText(t, "\x1b[?25h\x1b[?1049l")
	if !strings.Contains(text, first[:12]) || !strings.Contains(text, `  | to build\x1b[2J`) || strings.Contains(text, "build\x1b[2J") {
		t.Errorf("the screen was %q", text)
	}
}
