package event_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/event"
)

// testClock moves only when it is told to.
type testClock struct{ at time.Time }

func newTestClock() *testClock               { return &testClock{time.Unix(1_800_000_000, 0)} }
func (c *testClock) now() time.Time          { return c.at }
func (c *testClock) advance(d time.Duration) { c.at = c.at.Add(d) }

func TestPlain(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	var out strings.Builder
	sink := event.NewPlain(&out, event.WithClock(clock.now))
	send := func(after time.Duration, e event.Event) {
		clock.advance(after)
		sink.Send(t.Context(), e)
	}
	send(0, event.Event{Kind: event.Start, Step: "push", Text: "agent"})
	for range 25 { // one a second: 10 s and 20 s are worth a line
		send(time.Second, event.Event{Kind: event.Progress, Step: "push", Text: "layers", Done: 12_345_678, Total: 45_000_000})
	}
	send(time.Second/2, event.Event{Kind: event.Done, Step: "push", Text: "45.0 MB sent"})
	send(0, event.Event{Kind: event.Start, Step: "tag"})
	send(time.Millisecond, event.Event{Kind: event.Done, Step: "tag"})
	send(0, event.Event{Kind: event.Skip, Step: "pack", Text: "nothing changed"})
	send(0, event.Event{Kind: event.Warn, Step: "pack", Text: "bad\x1b[2J\npack: done, all is well"})
	send(0, event.Event{Kind: event.Info, Step: "a\nb", Text: "note"})
	// Progress without a start: quiet at first, then every 10 s all the same.
	send(0, event.Event{Kind: event.Progress, Step: "boot"})
	send(11*time.Second, event.Event{Kind: event.Progress, Step: "boot", Text: "waiting"})

	want := `push: layers 12.3 MB of 45.0 MB, 27%
push: layers 12.3 MB of 45.0 MB, 27%
push: done, 45.0 MB sent (25.5 s)
tag: done
pack: skipped, nothing changed
pack: warning: bad\x1b[2J
  pack: done, all is well
a b: note
boot: waiting
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestTTY(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	screen := newScreen()
	width := 60
	sink := event.NewTTY(screen, func() int { return width }, event.WithClock(clock.now))
	step := func(name string, e event.Event, want ...string) {
		t.Helper()
		sink.Send(t.Context(), e)
		if diff := cmp.Diff(want, screen.lines()); diff != "" {
			t.Errorf("%s: screen (-want +got):\n%s", name, diff)
		}
	}
	step("start", event.Event{Kind: event.Start, Step: "base", Text: "making it"}, "base: making it")
	step("second step", event.Event{Kind: event.Start, Step: "cli", Text: "fetching"}, "base: making it", "cli: fetching")
	clock.advance(time.Second)
	progress := event.Event{Kind: event.Progress, Step: "cli", Done: 1_500_000, Total: 3_000_000}
	step("progress", progress, "base: making it  1 s", "cli: fetching  1.5 MB of 3.0 MB, 50%")
	clock.advance(99 * time.Millisecond)
	progress.Done = 2_000_000
	step("too soon", progress, "base: making it  1 s", "cli: fetching  1.5 MB of 3.0 MB, 50%")
	clock.advance(time.Millisecond)
	step("soon enough", progress, "base: making it  1 s", "cli: fetching  2.0 MB of 3.0 MB, 66%")
	step("warning", event.Event{Kind: event.Warn, Step: "base", Text: "slow mirror"},
		"base: warning: slow mirror", "base: making it  1 s", "cli: fetching  2.0 MB of 3.0 MB, 66%")
	width = 36
	step("narrow: figures win", event.Event{Kind: event.Info, Step: "x", Text: "y"},
		"base: warning: slow mirror", "x: y", "base: making it  1 s", "cli: fetchin  2.0 MB of 3.0 MB, 66%")
	clock.advance(time.Second)
	step("done", event.Event{Kind: event.Done, Step: "cli", Text: "3.0 MB"},
		"base: warning: slow mirror", "x: y", "cli: done, 3.0 MB (2.1 s)", "base: making it  2 s")
	clock.advance(time.Second)
	step("text of a program", event.Event{Kind: event.Progress, Step: "base", Text: "a\x1b[2J\nb\tc"},
		"base: warning: slow mirror", "x: y", "cli: done, 3.0 MB (2.1 s)", `base: a\x1b[2J b c  3 s`)
	clock.advance(time.Minute)
	sink.Tick()
	if got := screen.lines(); got[len(got)-1] != `base: a\x1b[2J b c  63 s` {
		t.Errorf("after a minute: %q", got)
	}
	sink.Close()
	if diff := cmp.Diff([]string{"base: warning: slow mirror", "x: y", "cli: done, 3.0 MB (2.1 s)"}, screen.lines()); diff != "" {
		t.Errorf("after Close (-want +got):\n%s", diff)
	}
	rest := strings.NewReplacer("\x1b[1A", "", "\r\x1b[J", "").Replace(screen.raw.String())
	if strings.Contains(rest, "\x1b") {
		t.Errorf("the sink wrote other controls than cursor movement: %q", rest)
	}
}

// What goes on side by side has a line each; the end of one takes its own away.
func TestTTYParts(t *testing.T) {
	t.Parallel()
	screen := newScreen()
	sink := event.NewTTY(screen, func() int { return 60 }, event.WithClock(newTestClock().now))
	for _, e := range []event.Event{
		{Kind: event.Start, Step: "layer", Part: "a", Text: "a"},
		{Kind: event.Start, Step: "layer", Part: "b", Text: "b"},
		{Kind: event.Done, Step: "layer", Part: "a", Text: "a"},
	} {
		sink.Send(t.Context(), e)
	}
	if diff := cmp.Diff([]string{"layer: done, a", "layer: b"}, screen.lines()); diff != "" {
		t.Errorf("screen (-want +got):\n%s", diff)
	}
}

func TestTTYNeverWraps(t *testing.T) {
	t.Parallel()
	for width := range 40 {
		screen := newScreen()
		sink := event.NewTTY(screen, func() int { return width })
		sink.Send(t.Context(), event.Event{Kind: event.Start, Step: "s", Text: strings.Repeat("東京 é x", 50), Done: 5, Total: 10})
		limit := width - 1
		if width == 0 {
			limit = 79
		}
		for _, line := range screen.lines() {
			columns := 0
			for _, r := range line {
				columns++
				if r > 0x2e80 {
					columns++
				}
			}
			if columns > limit {
				t.Errorf("width %d: %q takes %d columns", width, line, columns)
			}
		}
	}
}

// screen understands the three control sequences that the sink may use and fails on
// any other by leaving the escape in the text.
type screen struct {
	raw  strings.Builder
	rows []string
}

func newScreen() *screen { return &screen{} }

func (s *screen) Write(p []byte) (int, error) {
	s.raw.Write(p)
	text := string(p)
	up := 0
	for strings.HasPrefix(text, "\x1b[1A") {
		text, up = text[4:], up+1
	}
	if up > 0 {
		rest, ok := strings.CutPrefix(text, "\r\x1b[J")
		if !ok {
			return 0, fmt.Errorf("%q moves up without clearing", p)
		}
		text, s.rows = rest, s.rows[:len(s.rows)-up]
	}
	for line := range strings.Lines(text) {
		s.rows = append(s.rows, strings.TrimSuffix(line, "\n"))
	}
	return len(p), nil
}

func (s *screen) lines() []string { return append([]string(nil), s.rows...) }

func TestJSON(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	now := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	sink := event.NewJSON(&out, func() time.Time { return now })
	hostile := "a\x1b[2J\x7f\u009b\u202e\U000e0041\n<b>"
	sink.Send(t.Context(), event.Event{Kind: event.Progress, Step: "pack", Text: hostile, Done: 1, Total: 2})
	sink.Send(t.Context(), event.Event{Kind: event.Done, Step: "pack"})
	want := `{"time":"2026-01-02T03:04:05.006Z","kind":"progress","step":"pack","text":"a\u001b[2J\u007f\u009b\u202e\udb40\udc41\n\u003cb\u003e","done":1,"total":2}
{"time":"2026-01-02T03:04:05.006Z","kind":"done","step":"pack"}
`
	if out.String() != want {
		t.Errorf("output = %s, want %s", out.String(), want)
	}
	var back event.Event
	if err := json.NewDecoder(strings.NewReader(out.String())).Decode(&back); err != nil {
		t.Fatal(err)
	}
	if back.Text != hostile {
		t.Errorf("text read back = %q, want %q", back.Text, hostile)
	}
}

// Sinks are used by parallel steps: the race detector judges this one.
func TestSinksAreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	var plain, tty, lines strings.Builder
	sinks := []event.Sink{
		event.NewPlain(&plain), event.NewTTY(&tty, func() int { return 40 }), event.NewJSON(&lines, time.Now), event.Discard(),
	}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for _, sink := range sinks {
				for _, kind := range []event.Kind{event.Start, event.Progress, event.Info, event.Done} {
					sink.Send(context.Background(), event.Event{Kind: kind, Step: fmt.Sprint("s", i), Text: "x"})
				}
			}
		})
	}
	group.Wait()
	if got := strings.Count(plain.String(), "\n"); got != 8 {
		t.Errorf("plain wrote %d lines, want 8", got)
	}
	if got := strings.Count(lines.String(), "\n"); got != 16 {
		t.Errorf("JSON wrote %d lines, want 16", got)
	}
}
