package termsafe

import (
	"io"
	"slices"
	"strings"
)

// Filter passes what is safe on to a terminal. One goroutine writes.
type Filter struct {
	w     io.Writer
	raw   bool
	quiet bool // asks the terminal nothing
	out   []byte
	p     parser
	modes modes
	asked bool
	used  bool // since the last reset
}

// New makes a filter in front of a terminal.
func New(w io.Writer) *Filter { return &Filter{w: w} }

// NewRaw passes everything on as it is, and still knows what Close has to reset.
func NewRaw(w io.Writer) *Filter { return &Filter{w: w, raw: true} }

// NewQuiet makes a filter that drops the questions to a terminal too: for output that was
// shown, and answered, before.
func NewQuiet(w io.Writer) *Filter { return &Filter{w: w, quiet: true} }

// Write implements [io.Writer].
func (f *Filter) Write(p []byte) (int, error) {
	f.out, f.used = f.out[:0], f.used || len(p) > 0
	f.p.feed(f, p)
	out := f.out
	if f.raw {
		out = p
	}
	if len(out) == 0 {
		return len(p), nil
	}
	if _, err := f.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close ends what is incomplete and resets what was switched on, if anything was written.
// It does not close the terminal, and the filter can be used again.
func (f *Filter) Close() error {
	if !f.used {
		return nil
	}
	f.used = false
	f.out = f.out[:0]
	f.p.end(f)
	if f.raw {
		f.out = append(f.out[:0], can, esc, '\\') // out of whatever it is in
	}
	f.out = append(f.out, f.modes.undo()...)
	f.modes = modes{}
	_, err := f.w.Write(f.out)
	return err
}

// Asked reports whether the terminal was asked something that it answers by typing: the
// answer may still be on its way when the program that wanted it is gone.
func (f *Filter) Asked() bool { return f.asked }

// Replacement is shown for a byte that is no character.
const Replacement = "\uFFFD"

func (f *Filter) text(p []byte) { f.out = append(f.out, p...) }
func (f *Filter) bad()          { f.out = append(f.out, Replacement...) }

// control passes what moves the cursor or rings. ENQ would be answered.
func (f *Filter) control(c byte) {
	if c >= 0x07 && c <= 0x0f {
		f.out = append(f.out, c)
	}
}

func (f *Filter) escape(seq []byte) {
	if text := string(seq); safeEscape(text) {
		f.modes.escape(text)
		f.out = append(append(f.out, esc), seq...)
	}
}

// safeEscape knows save and restore of the cursor, keypad, index, next line, reset, the
// sizes of lines and the character sets that exist in hardware; not the switch out of UTF-8.
func safeEscape(seq string) bool {
	switch len(seq) {
	case 1:
		return oneOf(seq[0], "78=>DEMc69")
	case 2:
		return seq[0] == '#' && oneOf(seq[1], "34568") || oneOf(seq[0], "()*+") && oneOf(seq[1], "AB012")
	}
	return false
}

func oneOf(c byte, set string) bool { return strings.IndexByte(set, c) >= 0 }

func (f *Filter) csi(seq []byte) {
	s, ok := parseCSI(seq)
	if !ok {
		return
	}
	if s, ok = allowed(s); !ok {
		return
	}
	f.modes.csi(s)
	if slices.Contains(strings.Fields(answers), s.key()) {
		if f.quiet {
			return
		}
		f.asked = true
	}
	f.out = append(f.out, s.bytes()...)
}

func (f *Filter) osc(payload []byte) {
	number, rest, _ := strings.Cut(string(payload), ";")
	switch number {
	case "0", "2":
		text, ok := title(rest)
		if !ok {
			return
		}
		if !f.modes.titled { // kept by the terminal until the end
			f.modes.titled = true
			f.out = append(f.out, "\x1b[22;0t"...)
		}
		f.out = append(f.out, "\x1b]"+number+";"+text+"\x1b\\"...)
	case "8":
		f.out = append(f.out, link(rest)...)
		f.modes.linked = true
	}
}

// Tracker follows a stream without passing anything on.
type Tracker struct{ f Filter }

// NewTracker begins at a terminal that was just reset.
func NewTracker() *Tracker { return &Tracker{Filter{w: io.Discard}} }

// Feed takes the next part of the stream.
func (t *Tracker) Feed(p []byte) {
	t.f.out = t.f.out[:0]
	t.f.p.feed(&t.f, p)
}

// Whole reports whether the stream is between two sequences.
func (t *Tracker) Whole() bool { return t.f.p.idle() }

// Modes is what brings another terminal to where the stream has brought its own.
func (t *Tracker) Modes() string { return t.f.modes.redo() }
