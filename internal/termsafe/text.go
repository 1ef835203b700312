package termsafe

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxLine bounds a line of text: a longer one continues on the next.
const maxLine = 16 << 10

// maxSkip bounds the spaces that a moved cursor stands for.
const maxSkip = 200

// Text makes lines of text of what would be drawn: no sequences, and of a line that is
// written again and again its last state. One goroutine writes.
type Text struct {
	line func(string)
	p    parser
	held []byte
	over bool // a carriage return: the next character begins the line anew
}

// NewText calls line with each line, without its end.
func NewText(line func(string)) *Text { return &Text{line: line} }

// Write implements [io.Writer].
func (t *Text) Write(p []byte) (int, error) {
	t.p.feed(t, p)
	return len(p), nil
}

// Close passes on what has no line end yet.
func (t *Text) Close() error {
	t.p.end(t)
	t.next(false)
	return nil
}

func (t *Text) next(empty bool) {
	if empty || strings.TrimSpace(string(t.held)) != "" {
		t.line(string(t.held))
	}
	t.held, t.over = t.held[:0], false
}

func (t *Text) text(p []byte) {
	if t.over {
		t.held, t.over = t.held[:0], false
	}
	for len(p) > 0 {
		n := min(len(p), maxLine-len(t.held))
		for n > 0 && n < len(p) && !utf8.RuneStart(p[n]) {
			n--
		}
		if n == 0 {
			t.next(false)
			continue
		}
		t.held = append(t.held, p[:n]...)
		p = p[n:]
	}
}

// bad keeps the byte out and its place in: which one it was tells nobody anything.
func (t *Text) bad() { t.text([]byte(Replacement)) }

func (t *Text) control(c byte) {
	switch c {
	case '\n', '\v', '\f':
		t.next(true)
	case '\r':
		t.over = true
	case '\t':
		t.text([]byte{c})
	case '\b':
		if _, size := utf8.DecodeLastRune(t.held); !t.over {
			t.held = t.held[:len(t.held)-size]
		}
	}
}

func (t *Text) escape(seq []byte) {
	if len(seq) == 1 && oneOf(seq[0], "DEMc8") {
		t.next(false)
	}
}

// csi makes of a cursor that is moved what a reader would see: another line, or a gap.
func (t *Text) csi(seq []byte) {
	s, ok := parseCSI(seq)
	if !ok {
		return
	}
	switch s.key() {
	case "A", "B", "E", "F", "H", "d", "e", "f", "u", "?h", "?l":
		if s.final != 'h' && s.final != 'l' || onScreen(s) {
			t.next(false)
		}
	case "J":
		t.next(false)
	case "K":
		if t.over || s.number(0) == 2 {
			t.held, t.over = t.held[:0], false
		}
	case "C", "a":
		t.text([]byte(strings.Repeat(" ", min(max(s.number(1), 1), maxSkip))))
	case "G", "`":
		t.column(s.number(1) - 1)
	}
}

func (t *Text) column(to int) {
	at := utf8.RuneCount(t.held)
	switch {
	case to <= 0:
		t.over = true
	case to > at:
		t.text([]byte(strings.Repeat(" ", min(to-at, maxSkip))))
	default:
		t.next(false)
	}
}

func onScreen(s sequence) bool { return slices.ContainsFunc(s.params, alternate) }

func (t *Text) osc([]byte) {}
