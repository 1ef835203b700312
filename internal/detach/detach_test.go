package detach_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/detach"
	"bottle.internal/internal/event"
	"bottle.internal/internal/plan"
)

// both are the two sides, over pipes as between processes.
type both struct {
	parent detach.Parent
	in     *os.File // the owner's ends
	out    *os.File
	events []event.Event
}

func pipes(t *testing.T) *both {
	t.Helper()
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b := &both{in: inRead, out: outWrite}
	b.parent = detach.Parent{Stdin: inWrite, Reports: outRead, Events: event.SinkFunc(func(_ context.Context, e event.Event) { b.events = append(b.events, e) })}
	t.Cleanup(func() {
		for _, file := range []*os.File{inRead, inWrite, outRead, outWrite} {
			_ = file.Close()
		}
	})
	return b
}

func bootstrap() detach.Bootstrap {
	return detach.Bootstrap{Plan: plan.Plan{Identity: "demo-aaaaa"}, Answers: []string{"s3cret"}, Dir: "/d", Rows: 3}
}

func TestReady(t *testing.T) {
	t.Parallel()
	b := pipes(t)
	got := make(chan bool, 1)
	go func() {
		owner, boot, err := detach.NewOwner(b.in, b.out)
		if err != nil || boot.Plan.Identity != "demo-aaaaa" || boot.Answers[0] != "s3cret" || boot.Dir != "/d" || boot.Rows != 3 {
			t.Errorf("%+v, %v", boot, err)
			_ = b.out.Close()
			return
		}
		owner.Send(context.Background(), event.Event{Kind: event.Start, Step: "boot", Text: "booting"})
		owner.Ready()
		got <- owner.Answer()
	}()
	if err := b.parent.Hand(t.Context(), bootstrap()); err != nil {
		t.Fatal(err)
	}
	if !<-got {
		t.Error("the owner was not told")
	}
	if len(b.events) != 1 || b.events[0].Text != "booting" {
		t.Errorf("events %v", b.events)
	}
}

func TestFailure(t *testing.T) {
	t.Parallel()
	b := pipes(t)
	go func() {
		owner, _, err := detach.NewOwner(b.in, b.out)
		if err != nil {
			t.Error(err)
			return
		}
		owner.Fail(detach.Failure{Text: "bottle: error: no engine\n", Code: 3})
	}()
	failure := (*detach.Failure)(nil)
	if err := b.parent.Hand(t.Context(), bootstrap()); !errors.As(err, &failure) || failure.Code != 3 || failure.Text != "bottle: error: no engine\n" {
		t.Errorf("%v", err)
	}
}

// ^C: the owner hears of it, undoes everything and has the last word.
func TestCalledOff(t *testing.T) {
	t.Parallel()
	for name, ready := range map[string]bool{"while it starts": false, "when it is just ready": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := pipes(t)
			ctx, cancel := context.WithCancel(t.Context())
			undone := make(chan struct{})
			go func() {
				owner, _, err := detach.NewOwner(b.in, b.out)
				if err != nil {
					t.Error(err)
					return
				}
				cancel()
				if ready {
					owner.Ready()
				}
				if owner.Answer() {
					t.Error("the parent agreed after ^C")
				}
				close(undone)
				owner.Fail(detach.Failure{Text: "interrupted", Code: 130})
			}()
			failure := (*detach.Failure)(nil)
			if err := b.parent.Hand(ctx, bootstrap()); !errors.As(err, &failure) || failure.Code != 130 {
				t.Errorf("%v", err)
			}
			<-undone
		})
	}
}

// A parent that dies is one that does not want the bottle.
func TestParentDies(t *testing.T) {
	t.Parallel()
	b := pipes(t)
	go func() {
		_, _ = io.WriteString(b.parent.Stdin, `{"version":1,"plan":{"identity":"demo-aaaaa"}}`+"\n")
		_ = b.parent.Stdin.Close()
	}()
	owner, _, err := detach.NewOwner(b.in, b.out)
	if err != nil {
		t.Fatal(err)
	}
	if owner.Answer() {
		t.Error("a dead parent has agreed")
	}
}

func TestOwnerDies(t *testing.T) {
	t.Parallel()
	b := pipes(t)
	go func() {
		_, _, _ = detach.NewOwner(b.in, b.out)
		_ = b.out.Close()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := b.parent.Hand(ctx, bootstrap()); !errors.Is(err, detach.ErrDied) {
		t.Errorf("%v", err)
	}
}

func TestBadBootstrap(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                            "reading the bootstrap: EOF",
		`{"answers":["s3cret`:         "reading the bootstrap: EOF",
		`{"answers":["s3cret"` + "\n": "reading the bootstrap: this is none",
		`{"version":7}` + "\n":        "reading the bootstrap: it has version 7, not 1",
		strings.Repeat("x", 17<<20):   "reading the bootstrap: more than 16777216 bytes",
	} {
		if _, _, err := detach.NewOwner(strings.NewReader(in), io.Discard); err == nil || err.Error() != want {
			t.Errorf("%.30q: %v, want %s", in, err, want)
		}
	}
}
