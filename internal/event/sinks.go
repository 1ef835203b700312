package event

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
	"unicode/utf8"
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

// Plain writes one line for each event but progress, for logs and pipes; progress
// shows every 10 s of a step. Make one with [NewPlain].
type Plain struct {
	clock
	mu      sync.Mutex
	w       io.Writer
	started map[string]time.Time
	said    map[string]time.Time
}

var _ Sink = (*Plain)(nil)

// NewPlain returns a sink that writes plain lines.
func NewPlain(w io.Writer, options ...Option) *Plain {
	return &Plain{clock: newClock(options), w: w, started: map[string]time.Time{}, said: map[string]time.Time{}}
}

// Send implements [Sink].
func (p *Plain) Send(_ context.Context, e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	var took time.Duration
	switch e.Kind {
	case Start:
		p.started[e.Step], p.said[e.Step] = now, now
	case Progress:
		last, known := p.said[e.Step]
		if !known {
			p.said[e.Step] = now
		}
		if !known || now.Sub(last) < plainEvery {
			return
		}
		p.said[e.Step] = now
	case Done, Skip:
		if start, known := p.started[e.Step]; known {
			took = now.Sub(start)
		}
		delete(p.started, e.Step)
		delete(p.said, e.Step)
	case Warn, Info:
	}
	_, _ = io.WriteString(p.w, line(e, took)+"\n")
}

// line is what a person reads about an event once it is on record.
func line(e Event, took time.Duration) string {
	// Continuation lines are indented, so that text cannot pose as another event.
	text := strings.ReplaceAll(SafeText(e.Text), "\n", "\n  ")
	prefix := oneLine(e.Step) + ": "
	switch e.Kind {
	case Progress:
		return prefix + strings.TrimSpace(oneLine(e.Text)+" "+amount(e))
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

// oneLine is safe text without line breaks and tabs.
func oneLine(text string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(SafeText(text))
}

// amount renders "12.3 MB of 45.0 MB, 27%".
func amount(e Event) string {
	switch {
	case e.Total > 0:
		percent := min(100, max(0, e.Done)*100/e.Total)
		return fmt.Sprintf("%s of %s, %d%%", Bytes(e.Done), Bytes(e.Total), percent)
	case e.Done > 0:
		return Bytes(e.Done)
	}
	return ""
}

// Bytes renders a number of bytes for people, in decimal units.
func Bytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value := float64(n)
	for _, unit := range []string{"kB", "MB", "GB"} {
		if value /= 1000; value < 999.95 {
			return fmt.Sprintf("%.1f %s", value, unit)
		}
	}
	return fmt.Sprintf("%.1f TB", value/1000)
}

// JSON writes each event as one line of JSON. Make one with [NewJSON].
type JSON struct {
	mu sync.Mutex
	w  io.Writer
}

var _ Sink = (*JSON)(nil)

// NewJSON returns a sink that writes JSON lines.
func NewJSON(w io.Writer) *JSON { return &JSON{w: w} }

// Send implements [Sink].
func (j *JSON) Send(_ context.Context, e Event) {
	raw, err := json.Marshal(e)
	if err != nil { // cannot happen: strings and integers
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = io.WriteString(j.w, SafeJSON(string(raw))+"\n")
}

// SafeJSON writes what a terminal could obey as \u escapes, which a JSON reader turns
// back: nothing is lost. raw is an encoder's output, so bad bytes are gone already and a
// newline or tab is between values.
func SafeJSON(raw string) string {
	if !strings.ContainsFunc(raw, unsafeRune) {
		return raw
	}
	var out strings.Builder
	for _, r := range raw {
		switch {
		case r == utf8.RuneError || !unsafeRune(r):
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}
