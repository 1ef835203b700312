package termsafe

import (
	"unicode/utf8"
)

// Bounds of what is held while a sequence is not complete.
const (
	maxCSI = 128
	maxOSC = 4096
)

// The controls that sequences are made of.
const (
	bel = 0x07
	can = 0x18
	sub = 0x1a
	esc = 0x1b
)

// actor is told what a stream says. The slices belong to the parser.
type actor interface {
	text(p []byte)     // printable characters, whole UTF-8
	control(c byte)    // C0, or DEL
	bad()              // a byte that is no character, or a C1 control that begins nothing
	escape(seq []byte) // intermediates and final, without ESC
	csi(seq []byte)    // parameters, intermediates and final, without ESC [
	osc(payload []byte)
}

type phase byte

const (
	ground phase = iota
	inEscape
	inCSI
	lostCSI  // too long, or wrong: until its final
	inOSC    // kept
	inString // dropped: DCS, SOS, PM, APC, a title of screen, an OSC that is too long
)

// parser is the state machine of a VT500, for UTF-8.
type parser struct {
	phase phase
	// stringEsc: ESC within a string; with \ it ends it, with anything else it begins anew.
	stringEsc bool
	bellEnds  bool // of a dropped string: an OSC ends with BEL too
	held      []byte
	rune      [utf8.UTFMax]byte // a character that is not complete
	runeLen   int
}

// idle reports whether the next byte begins something new.
func (p *parser) idle() bool { return p.phase == ground && p.runeLen == 0 }

func (p *parser) feed(a actor, data []byte) {
	for len(data) > 0 {
		if p.idle() {
			if n := plain(data); n > 0 {
				a.text(data[:n])
				data = data[n:]
				continue
			}
		}
		data = data[p.step(a, data[0]):]
	}
}

// end is for a stream that ends in the middle.
func (p *parser) end(a actor) {
	if p.runeLen > 0 {
		a.bad()
	}
	*p = parser{}
}

// plain measures the printable ASCII at the beginning: most of any output.
func plain(data []byte) int {
	for i, c := range data {
		if c < ' ' || c >= 0x7f {
			return i
		}
	}
	return len(data)
}

// step takes one byte, or none of it: it returns how many.
func (p *parser) step(a actor, c byte) int {
	if p.runeLen > 0 {
		return p.continueRune(a, c)
	}
	if c >= utf8.RuneSelf {
		p.rune[0], p.runeLen = c, 1
		if !utf8.RuneStart(c) || utf8.FullRune(p.rune[:1]) {
			p.runeLen = 0
			p.wrong(a)
		}
		return 1
	}
	p.ascii(a, c)
	return 1
}

func (p *parser) continueRune(a actor, c byte) int {
	p.rune[p.runeLen] = c
	p.runeLen++
	whole := p.rune[:p.runeLen]
	if !utf8.FullRune(whole) {
		return 1
	}
	size := p.runeLen
	p.runeLen = 0
	r, n := utf8.DecodeRune(whole)
	switch {
	case r == utf8.RuneError && n == 1:
		// The bytes before c were no character; c may begin one.
		p.wrong(a)
		return 0
	case r >= 0x80 && r < 0xa0:
		p.c1(a, byte(r))
	default:
		p.character(a, whole[:size])
	}
	return 1
}

// wrong is for bytes that are no UTF-8. An 8-bit C1 control is one of them: no terminal
// that speaks UTF-8 takes it for one, and the others do not get it from us.
func (p *parser) wrong(a actor) {
	switch p.phase {
	case ground:
		a.bad()
	case inEscape:
		p.to(ground)
	case inCSI:
		p.phase = lostCSI
	case inOSC:
		p.hold(0x80) // makes the payload unusable, see osc
	case lostCSI, inString:
	}
}

// c1 takes a C1 control that came as UTF-8 for what it is: terminals do.
func (p *parser) c1(a actor, c byte) {
	if p.string() && c == 0x9c { // ST
		p.finish(a)
		return
	}
	p.to(inEscape)
	if final := c - 0x40; final >= '@' && final != '\\' && begins(final) {
		p.ascii(a, final)
		return
	}
	p.to(ground)
	a.bad()
}

// begins reports whether ESC and this byte begin something longer.
func begins(final byte) bool {
	switch final {
	case '[', ']', 'P', 'X', '^', '_':
		return true
	}
	return false
}

func (p *parser) character(a actor, whole []byte) {
	switch p.phase {
	case ground:
		a.text(whole)
	case inEscape:
		p.to(ground)
		a.text(whole)
	case inCSI:
		p.phase = lostCSI
	case inOSC:
		for _, c := range whole {
			p.hold(c)
		}
	case lostCSI, inString:
	}
}

func (p *parser) string() bool { return p.phase == inOSC || p.phase == inString }

func (p *parser) ascii(a actor, c byte) {
	if p.string() {
		p.inString(a, c)
		return
	}
	switch {
	case c == esc:
		p.to(inEscape)
	case c == can || c == sub:
		p.to(ground)
	case c < ' ' || c == 0x7f:
		a.control(c) // also in the middle of a sequence, as terminals do
	case p.phase == ground:
		a.text([]byte{c})
	case p.phase == inEscape:
		p.inEscape(a, c)
	default:
		p.inCSI(a, c)
	}
}

func (p *parser) inEscape(a actor, c byte) {
	if len(p.held) == 0 {
		switch c {
		case '[':
			p.to(inCSI)
			return
		case ']':
			p.to(inOSC)
			return
		case 'P', 'X', '^', '_', 'k': // k: the title of screen and tmux
			p.to(inString)
			return
		}
	}
	p.held = append(p.held, c)
	switch {
	case c >= 0x30:
		seq := p.held
		p.to(ground)
		a.escape(seq)
	case len(p.held) > maxEscape:
		p.to(ground)
	}
}

// maxEscape bounds the intermediates of an escape sequence.
const maxEscape = 4

func (p *parser) inCSI(a actor, c byte) {
	final := c >= 0x40
	if p.phase == lostCSI {
		if final {
			p.to(ground)
		}
		return
	}
	if p.held = append(p.held, c); final {
		seq := p.held
		p.to(ground)
		a.csi(seq)
	} else if len(p.held) >= maxCSI {
		p.phase = lostCSI
	}
}

func (p *parser) inString(a actor, c byte) {
	if p.stringEsc {
		p.stringEsc = false
		if c == '\\' {
			p.finish(a)
			return
		}
		p.to(inEscape) // the string is broken off
		p.ascii(a, c)
		return
	}
	switch {
	case c == esc:
		p.stringEsc = true
	case c == can || c == sub:
		p.to(ground)
	case c == bel && (p.phase == inOSC || p.bellEnds):
		p.finish(a)
	case p.phase == inOSC:
		p.hold(c)
	}
}

// hold keeps a byte of an OSC; one that is too long is dropped like other strings.
func (p *parser) hold(c byte) {
	if p.held = append(p.held, c); len(p.held) > maxOSC {
		p.to(inString)
		p.bellEnds = true
	}
}

func (p *parser) finish(a actor) {
	payload, kept := p.held, p.phase == inOSC
	p.to(ground)
	if kept {
		a.osc(payload)
	}
}

func (p *parser) to(phase phase) {
	p.phase, p.held, p.stringEsc, p.bellEnds = phase, p.held[:0], false, false
}
