package event

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"bottle.internal/internal/printable"
)

const (
	redrawEvery  = 100 * time.Millisecond
	defaultWidth = 80

	cursorUp   = "\x1b[1A"
	clearBelow = "\r\x1b[J"
)

// TTY shows one live line for each running step below the lines that stay. It uses
// cursor movement and no colour at all. Steps are told apart by their Step and Part. Make
// one with [NewTTY]; Close takes the live lines away, which whoever prints to the same
// terminal wants first.
type TTY struct {
	clock
	mu      sync.Mutex
	w       io.Writer
	width   func() int
	running []running
	drawn   int // live lines on the screen
	last    time.Time
}

type running struct {
	Event
	title string // the text of Start, kept while progress brings none
	since time.Time
}

var _ Sink = (*TTY)(nil)

// NewTTY returns a sink for a terminal. The width is asked for at every redraw; a
// width below 1 counts as 80.
func NewTTY(w io.Writer, width func() int, options ...Option) *TTY {
	return &TTY{clock: newClock(options), w: w, width: width}
}

// Send implements [Sink].
func (t *TTY) Send(_ context.Context, e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	at := slices.IndexFunc(t.running, func(r running) bool { return r.key() == e.key() })
	stays := ""
	switch e.Kind {
	case Start, Progress:
		if at < 0 {
			t.running = append(t.running, running{Event: e, title: e.Text, since: now})
			break
		}
		step := &t.running[at]
		step.Event = e
		if e.Kind == Start {
			step.title, step.since = e.Text, now
		} else if now.Sub(t.last) < redrawEvery {
			return
		}
	case Done, Skip:
		var took time.Duration
		if at >= 0 {
			took = now.Sub(t.running[at].since)
			t.running = slices.Delete(t.running, at, at+1)
		}
		stays = line(e, took) + "\n"
	case Warn, Info:
		stays = line(e, 0) + "\n"
	}
	t.last = now
	t.draw(stays)
}

// Tick brings the live lines up to date: a step that says nothing shows how long it takes.
func (t *TTY) Tick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.running) > 0 {
		t.draw("")
	}
}

// Close removes the live lines. The sink can be used again.
func (t *TTY) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running = nil
	t.draw("")
}

// draw replaces the live lines by text that stays and the live lines of now, in one
// write, so that the terminal never shows half of it.
func (t *TTY) draw(stays string) {
	var out strings.Builder
	if t.drawn > 0 {
		out.WriteString(strings.Repeat(cursorUp, t.drawn) + clearBelow)
	}
	out.WriteString(stays)
	width := t.width()
	if width < 1 {
		width = defaultWidth
	}
	now := t.now()
	for _, step := range t.running {
		text := step.Text
		if text == "" {
			text = step.title
		}
		live := strings.TrimSpace(printable.SafeLine(step.Step) + ": " + printable.SafeLine(text))
		how := amount(step.Event)
		if took := now.Sub(step.since); how == "" && took >= time.Second {
			how = fmt.Sprintf("%d s", took/time.Second)
		}
		if how != "" {
			// The figures must survive a narrow terminal, the text may be cut.
			live = cut(live, width-len(how)-3) + "  " + how
		}
		out.WriteString(cut(live, width-1) + "\n")
	}
	t.drawn = len(t.running)
	if out.Len() > 0 {
		_, _ = io.WriteString(t.w, out.String())
	}
}

// cut shortens text to a number of columns. A rune beyond ASCII counts as two: a line
// that wraps would break the redraw, a short one does no harm.
func cut(text string, columns int) string {
	used := 0
	for i, r := range text {
		size := 1
		if r >= utf8.RuneSelf {
			size = 2
		}
		if used+size > max(columns, 0) {
			return text[:i]
		}
		used += size
	}
	return text
}
