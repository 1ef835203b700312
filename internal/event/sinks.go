package event

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"bottle.internal/internal/bytesize"
	"bottle.internal/internal/printable"
)

// plainEvery is how often a long step says in a plain log that it still lives.
const plainEvery = 10 * time.Second

// Option changes a sink.
type Option func(*clock)

// WithClock replaces the clock, for tests.
func WithClock(now func() time.Time) Option { return func(c *clock) { c.now = now } }

type clock struct{ now func() time.Time }

func newClock(options []Option) clock {
	c := clock{now: time.Now}
	for _, option := range options {
		option(&c)
	}
	return c
}

// Plain writes one line for each step when it ends, and one for what should be known, for
// logs and pipes. Of a step that takes long it says every 10 s that it goes on, as long as
// the step itself says anything. Make one with [NewPlain].
type Plain struct {
	clock
	mu      sync.Mutex
	w       io.Writer
	running map[string]*plainStep
}

// plainStep is a step that did not end yet.
type plainStep struct {
	text        string // of its start
	since, said time.Time
}

var _ Sink = (*Plain)(nil)

// NewPlain returns a sink that writes plain lines.
func NewPlain(w io.Writer, options ...Option) *Plain {
	return &Plain{clock: newClock(options), w: w, running: map[string]*plainStep{}}
}

// Send implements [Sink].
func (p *Plain) Send(_ context.Context, e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	step, known := p.running[e.key()]
	var took time.Duration
	switch e.Kind {
	case Start:
		p.running[e.key()] = &plainStep{text: e.Text, since: now, said: now}
		return
	case Progress:
		if !known {
			p.running[e.key()] = &plainStep{since: now, said: now}
			return
		}
		if now.Sub(step.said) < plainEvery {
			return
		}
		step.said = now
		if e.Text == "" {
			e.Text = step.text
		}
	case Done, Skip:
		if known {
			took = now.Sub(step.since)
			if e.Text == "" {
				e.Text = step.text
			}
		}
		delete(p.running, e.key())
	case Warn, Info:
	}
	_, _ = io.WriteString(p.w, line(e, took)+"\n")
}

// line is what a person reads about an event once it is on record.
func line(e Event, took time.Duration) string {
	// Continuation lines are indented, so that text cannot pose as another event.
	text := strings.ReplaceAll(printable.SafeText(e.Text), "\n", "\n  ")
	prefix := printable.SafeLine(e.Step) + ": "
	switch e.Kind {
	case Progress:
		return prefix + strings.TrimSpace(printable.SafeLine(e.Text)+" "+amount(e))
	case Done:
		words := "done"
		if text != "" {
			words += ", " + text
		}
		if took >= 100*time.Millisecond {
			words += fmt.Sprintf(" (%.1f s)", took.Seconds())
		}
		return prefix + words
	case Skip:
		return prefix + "skipped, " + text
	case Warn:
		return prefix + "warning: " + text
	case Start, Info:
	}
	return prefix + text
}

// amount renders "12.3 MB of 45.0 MB, 27%".
func amount(e Event) string {
	switch {
	case e.Total > 0:
		percent := min(100, max(0, e.Done)*100/e.Total)
		return fmt.Sprintf("%s of %s, %d%%", bytesize.Of(e.Done), bytesize.Of(e.Total), percent)
	case e.Done > 0:
		return bytesize.Of(e.Done)
	}
	return ""
}

// JSON writes each event as one line of JSON. Make one with [NewJSON].
type JSON struct {
	now func() time.Time
	mu  sync.Mutex
	w   io.Writer
}

var _ Sink = (*JSON)(nil)

// NewJSON returns a sink that writes JSON lines, each with the time that now says.
func NewJSON(w io.Writer, now func() time.Time) *JSON { return &JSON{now: now, w: w} }

// Timed is a line of [JSON].
type Timed struct {
	Time time.Time `json:"time"`
	Event
}

// Send implements [Sink].
func (j *JSON) Send(_ context.Context, e Event) {
	j.mu.Lock() // before the time is read: later lines have later times
	defer j.mu.Unlock()
	raw, err := json.Marshal(Timed{j.now().UTC(), e})
	if err != nil { // cannot happen: strings, integers and a time of now
		return
	}
	_, _ = io.WriteString(j.w, printable.SafeJSON(string(raw))+"\n")
}
