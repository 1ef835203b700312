package termsafe

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// sequence is a control sequence, taken apart.
type sequence struct {
	private      byte     // one of <=>?, or 0
	params       []string // as written, between semicolons; none for an empty list
	intermediate string
	final        byte
}

// maxDigits bounds a number: no screen has a million rows, and REP and the like would work
// on it for a while.
const maxDigits = 5

// parseCSI reports false for what is no proper sequence.
func parseCSI(seq []byte) (s sequence, ok bool) {
	s.final = seq[len(seq)-1]
	body := seq[:len(seq)-1]
	if len(body) > 0 && body[0] >= '<' && body[0] <= '?' {
		s.private, body = body[0], body[1:]
	}
	end := bytes.IndexFunc(body, func(r rune) bool { return r < '0' || r > ';' })
	if end < 0 {
		end = len(body)
	}
	s.intermediate = string(body[end:])
	if strings.ContainsFunc(s.intermediate, func(r rune) bool { return r < ' ' || r > '/' }) {
		return s, false
	}
	if end > 0 {
		s.params = strings.Split(string(body[:end]), ";")
	}
	for _, param := range s.params {
		for number := range strings.SplitSeq(param, ":") {
			if len(number) > maxDigits {
				return s, false
			}
		}
	}
	return s, true
}

// key names a kind of sequence: private marker, intermediates and final.
func (s sequence) key() string {
	key := s.intermediate + string(rune(s.final))
	if s.private != 0 {
		key = string(rune(s.private)) + key
	}
	return key
}

// number is the first parameter, or what its absence stands for.
func (s sequence) number(absent int) int {
	if len(s.params) == 0 {
		return absent
	}
	n, err := strconv.Atoi(s.params[0])
	if err != nil {
		return absent
	}
	return n
}

func (s sequence) bytes() []byte {
	out := []byte("\x1b[")
	if s.private != 0 {
		out = append(out, s.private)
	}
	out = append(out, strings.Join(s.params, ";")...)
	return append(append(out, s.intermediate...), s.final)
}

// harmless are the sequences that move, erase, colour and scroll, and change nothing else.
const harmless = "@ A B C D E F G H I J K L M P S X Z ` a b d e f m s u ?J ?K"

// answers are requests that the terminal answers by typing digits and fixed letters, and
// that programs wait for: cursor position, attributes, modes, colour scheme, keyboard.
// What it would answer with text of somebody's choice (title, answerback, settings,
// contents of the screen) is not among them.
const answers = "n c >c ?n ?u ?$p $p"

// allowed returns what is left of a sequence; nothing is dropped silently but the modes
// that are not on the list.
func allowed(s sequence) (sequence, bool) {
	key := s.key()
	switch key {
	case "T": // with more numbers it begins a way of mouse tracking that waits for an answer
		return s, len(s.params) <= 1
	case "r", " q", "!p", ">m", ">u", "<u", "=u":
		return s, true
	case "n":
		return s, len(s.params) == 1 && (s.number(0) == 5 || s.number(0) == 6)
	case "?n":
		return s, len(s.params) == 1 && (s.number(0) == 6 || s.number(0) == 996)
	case "c", ">c":
		return s, len(s.params) <= 1 && s.number(0) == 0
	case "?u":
		return s, len(s.params) == 0
	case "?$p", "$p":
		return s, len(s.params) == 1
	case "h", "l":
		return onlyModes(s, []string{"4", "20"})
	case "?h", "?l":
		return onlyModes(s, strings.Fields(privateModes))
	}
	return s, slices.Contains(strings.Fields(harmless), key)
}

func onlyModes(s sequence, modes []string) (sequence, bool) {
	s.params = slices.DeleteFunc(slices.Clone(s.params), func(p string) bool { return !slices.Contains(modes, p) })
	return s, len(s.params) > 0
}

// privateModes are the DEC and xterm modes that a program may switch: cursor keys, origin,
// wrap, blinking, cursor, alternate screens, keypad, margins, mouse, focus, paste,
// synchronised output, clusters, colour scheme and size reports. Not: VT52 mode, another
// number of columns, printing, and what is not known.
const privateModes = "1 6 7 12 25 47 66 69 9 1000 1002 1003 1004 1005 1006 1007 1015 1016 1047 1048 1049 2004 2026 2027 2031 2048"

// alternate are the modes that show the other screen.
func alternate(mode string) bool { return mode == "47" || mode == "1047" || mode == "1049" }
