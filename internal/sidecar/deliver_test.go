package sidecar_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"bottle.internal/internal/control"
	"bottle.internal/internal/event"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/secret"
)

func routes(text string) control.Inputs {
	return control.Inputs{"routes.json": secret.New(text)}
}

// next is the next message of the host that is no bootstrap.
func next[T any](t *testing.T, engine *fakeEngine) T {
	t.Helper()
	select {
	case message := <-engine.news:
		got, ok := message.(T)
		if !ok {
			t.Fatalf("the host says %T", message)
		}
		return got
	case <-t.Context().Done():
		t.Fatal("the host says nothing")
	}
	panic("unreachable")
}

func (e *fakeEngine) init() *control.Init {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.say
}

func (e *fakeEngine) lastBoot() control.Bootstrap {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.boots[len(e.boots)-1]
}

func start(t *testing.T, engine *fakeEngine, events event.Sink, want launch.SidecarSpec) launch.Sidecar {
	t.Helper()
	running, err := starter(engine, events).Start(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = running.Close(context.WithoutCancel(t.Context())) })
	return running
}

// What is delivered reaches the running daemon now, and every later bundle with its bootstrap.
func TestDeliveredInputsOutliveTheBundle(t *testing.T) {
	t.Parallel()
	engine, events := newEngine(t), newHeard()
	running := start(t, engine, events, spec(t, 1))
	if err := running.Deliver(t.Context(), "firewall", routes("second")); err != nil {
		t.Fatal(err)
	}
	if got := next[control.Deliver](t, engine); got.Daemon != "firewall" || got.Inputs["routes.json"].Reveal() != "second" {
		t.Errorf("init was told %+v", got)
	}
	engine.kill()
	events.wait(t, "info the bundle is back")
	if boot := engine.lastBoot(); boot.Inputs["firewall"]["routes.json"].Reveal() != "second" || len(boot.Inputs["gate"]) == 0 {
		t.Errorf("the next bundle got %+v", boot)
	}
}

func TestDeliverWhileTheBundleIsDown(t *testing.T) {
	t.Parallel()
	engine, events := newEngine(t), newHeard()
	engine.refuse = errors.New("no more starts")
	running := start(t, engine, events, spec(t, 1))
	engine.kill()
	events.wait(t, "warn it does not come back: restarting bundle demo-aaaaa: starting the container: no more starts")
	if err := running.Deliver(t.Context(), "firewall", routes("while it was down")); err != nil {
		t.Fatal(err)
	}
	engine.mu.Lock()
	engine.refuse = nil
	engine.mu.Unlock()
	events.wait(t, "info the bundle is back")
	if got := engine.lastBoot().Inputs["firewall"]["routes.json"].Reveal(); got != "while it was down" {
		t.Errorf("the bundle came back with %q", got)
	}
}

// Between its bootstrap and its being ready a bundle has the old inputs already: the new ones
// follow, they are not lost until the next restart.
func TestDeliverWhileTheBundleComesUp(t *testing.T) {
	t.Parallel()
	engine, events := newEngine(t), newHeard()
	running := start(t, engine, events, spec(t, 1))
	booted := make(chan *control.Init, 10)
	engine.mu.Lock()
	engine.onBoot = func(init *control.Init) { booted <- init }
	engine.mu.Unlock()
	engine.kill()
	init := <-booted
	delivered := make(chan error, 1)
	go func() { delivered <- running.Deliver(t.Context(), "firewall", routes("late")) }()
	if err := <-delivered; err != nil {
		t.Fatal(err)
	}
	_ = init.Ready()
	events.wait(t, "info the bundle is back")
	if got := engine.lastBoot().Inputs["firewall"]["routes.json"].Reveal(); got == "late" {
		return // it came before the bootstrap was on its way, which is as good
	}
	if got := next[control.Deliver](t, engine); got.Inputs["routes.json"].Reveal() != "late" {
		t.Errorf("init was told %+v", got)
	}
}

// Inputs that cannot be handed over are an error, and no restart brings them.
func TestRefusedInputsAreForgotten(t *testing.T) {
	t.Parallel()
	engine, events := newEngine(t), newHeard()
	running := start(t, engine, events, spec(t, 1))
	err := running.Deliver(t.Context(), "firewall", routes(strings.Repeat("x", control.MaxInputs)))
	if want := "sending deliver: control protocol violated: inputs.firewall: 524299 bytes, a daemon gets at most 524288"; err == nil || err.Error() != want {
		t.Errorf("Deliver() = %v, want %q", err, want)
	}
	engine.kill()
	events.wait(t, "info the bundle is back")
	if got := engine.lastBoot().Inputs["firewall"]["routes.json"].Reveal(); got != "s3cret routes" {
		t.Errorf("the bundle came back with %.20q", got)
	}
}

// An init that does not read any more holds up neither the gate's address nor Close.
func TestHangingInitHoldsUpNothing(t *testing.T) {
	t.Parallel()
	engine := newEngine(t)
	running := start(t, engine, event.Discard(), spec(t, 1))
	engine.deaf.hangs.Store(true)
	delivered := make(chan error, 1)
	go func() { delivered <- running.Deliver(context.WithoutCancel(t.Context()), "firewall", routes("x")) }()
	<-engine.deaf.stuck
	if running.Gate() == "" {
		t.Error("there is no gate")
	}
	if err := running.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-delivered; err == nil {
		t.Error("it was delivered")
	}
}

// One question may wait for a person; the others do not wait for it.
func TestQuestionsAreAnsweredSideBySide(t *testing.T) {
	t.Parallel()
	engine, want := newEngine(t), spec(t, 1)
	let := make(chan struct{})
	want.Answer = func(ctx context.Context, q control.Question) (any, error) {
		switch q.Kind {
		case "slow":
			select {
			case <-let:
			case <-ctx.Done():
			}
		case "bad":
			return nil, errors.New("not for \x1b[31m" + q.Daemon)
		}
		return map[string]string{"for": q.Daemon + " " + string(q.Body)}, nil
	}
	start(t, engine, event.Discard(), want)
	for id, kind := range []string{"slow", "quick", "bad"} {
		if err := engine.init().Ask(control.Question{Daemon: "egress", ID: uint64(id), Kind: kind, Body: json.RawMessage(`{"n":1}`)}); err != nil {
			t.Fatal(err)
		}
	}
	answers := map[uint64]string{}
	for range 2 {
		answer := next[control.Answer](t, engine)
		answers[answer.ID] = string(answer.Body) + answer.Error
	}
	if answers[1] != `{"for":"egress {\"n\":1}"}` || answers[2] != "not for \ufffd[31megress" {
		t.Errorf("answers %v before the slow one", answers)
	}
	close(let)
	if answer := next[control.Answer](t, engine); answer.ID != 0 || answer.Error != "" {
		t.Errorf("answer %+v", answer)
	}
}

// Close ends an answer that waits, by its context, and nothing is answered after it.
func TestCloseEndsTheAnswers(t *testing.T) {
	t.Parallel()
	engine, want := newEngine(t), spec(t, 1)
	waits := make(chan struct{}, 10)
	want.Answer = func(ctx context.Context, _ control.Question) (any, error) {
		waits <- struct{}{}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	running := start(t, engine, event.Discard(), want)
	init := engine.init()
	question := control.Question{Daemon: "supervise", ID: 1, Kind: "proposal", Body: json.RawMessage(`{}`)}
	if err := init.Ask(question); err != nil {
		t.Fatal(err)
	}
	<-waits
	if err := running.Close(t.Context()); err != nil {
		t.Error(err)
	}
	_ = init.Ask(question) // into nowhere
	if len(waits) > 0 {
		t.Error("a question was put after Close")
	}
	if len(engine.news) > 0 {
		t.Errorf("answered %v", <-engine.news)
	}
}

// A question of an earlier bundle ends with it; the next one asks again.
func TestQuestionsEndWithTheirBundle(t *testing.T) {
	t.Parallel()
	engine, events, want := newEngine(t), newHeard(), spec(t, 1)
	ended := make(chan struct{}, 1)
	asked := make(chan struct{}, 1)
	want.Answer = func(ctx context.Context, _ control.Question) (any, error) {
		asked <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return nil, nil //nolint:nilnil // nobody gets it
	}
	start(t, engine, events, want)
	if err := engine.init().Ask(control.Question{Daemon: "egress", ID: 1, Kind: "token", Body: json.RawMessage(`{}`)}); err != nil {
		t.Fatal(err)
	}
	<-asked
	engine.kill()
	<-ended
	events.wait(t, "info the bundle is back")
}
