package termsafe

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// modes are what a stream has switched on a terminal.
type modes struct {
	private  map[string]bool // as last set or reset
	insert   bool            // ANSI modes 4 and 20
	newline  bool
	keypad   bool
	region   bool   // scroll margins
	shape    string // of the cursor
	modKeys  string // the last XTMODKEYS sequence
	keyboard [2]int // how often the kitty keyboard was pushed, on each screen
	flags    [2]bool
	titled   bool
	linked   bool
	shifted  bool // another character set
}

// usual are the private modes that are on at the beginning.
func usual(mode string) bool { return mode == "7" || mode == "25" }

func (m *modes) screen() int {
	for mode, on := range m.private {
		if on && alternate(mode) {
			return 1
		}
	}
	return 0
}

// csi notes what an allowed sequence changes.
func (m *modes) csi(s sequence) {
	on := s.final == 'h'
	switch s.key() {
	case "?h", "?l":
		if m.private == nil {
			m.private = map[string]bool{}
		}
		for _, mode := range s.params {
			m.private[mode] = on
		}
	case "h", "l":
		m.insert = m.insert && !slices.Contains(s.params, "4") || on && slices.Contains(s.params, "4")
		m.newline = m.newline && !slices.Contains(s.params, "20") || on && slices.Contains(s.params, "20")
	case "r":
		m.region = len(s.params) > 0
	case " q":
		m.shape = string(s.bytes())
	case ">m":
		m.modKeys = string(s.bytes())
	case ">u":
		m.keyboard[m.screen()] = min(m.keyboard[m.screen()]+1, maxPushes)
	case "<u":
		m.keyboard[m.screen()] = max(m.keyboard[m.screen()]-max(s.number(1), 1), 0)
	case "=u":
		m.flags[m.screen()] = true
	}
}

// maxPushes is more than terminals keep.
const maxPushes = 32

// escape notes what an allowed escape sequence changes.
func (m *modes) escape(seq string) {
	switch {
	case seq == "=":
		m.keypad = true
	case seq == ">":
		m.keypad = false
	case seq == "c": // everything, the title's stack and links included
		*m = modes{}
	case strings.ContainsAny(seq[:1], "()*+-./"):
		m.shifted = true
	}
}

// undo is what puts a terminal back. Only what was changed is touched: leaving an alternate
// screen that was never entered moves the cursor.
func (m *modes) undo() string {
	var out strings.Builder
	if m.linked {
		out.WriteString(closeLink)
	}
	screen := m.screen()
	m.undoKeyboard(&out, screen)
	for _, alternates := range []bool{false, true} { // out of the other screen last
		for _, mode := range slices.Sorted(maps.Keys(m.private)) {
			if on := m.private[mode]; alternate(mode) == alternates && on != usual(mode) && mode != "1048" {
				out.WriteString(set(mode, !on))
			}
		}
	}
	if screen == 1 {
		m.undoKeyboard(&out, 0)
	}
	if m.region {
		out.WriteString("\x1b7\x1b[r\x1b8") // the margins take the cursor home
	}
	if m.insert {
		out.WriteString("\x1b[4l")
	}
	if m.newline {
		out.WriteString("\x1b[20l")
	}
	if m.keypad {
		out.WriteString("\x1b>")
	}
	if m.shape != "" {
		out.WriteString("\x1b[0 q")
	}
	if m.modKeys != "" {
		out.WriteString("\x1b[>4m")
	}
	if m.shifted {
		out.WriteString("\x1b(B\x1b)B")
	}
	if m.titled {
		out.WriteString("\x1b[23;0t")
	}
	return out.String() + "\x0f\x1b[0m"
}

func (m *modes) undoKeyboard(out *strings.Builder, screen int) {
	if m.flags[screen] {
		out.WriteString("\x1b[=0u")
	}
	if n := m.keyboard[screen]; n > 0 {
		out.WriteString("\x1b[<" + strconv.Itoa(n) + "u")
	}
}

// redo brings another terminal to where this one is. Titles and links are left out, and
// margins, which a program sets again when it draws.
func (m *modes) redo() string {
	var out strings.Builder
	for _, alternates := range []bool{true, false} {
		for _, mode := range slices.Sorted(maps.Keys(m.private)) {
			if on := m.private[mode]; alternate(mode) == alternates && on != usual(mode) && mode != "1048" && mode != "2026" {
				out.WriteString(set(mode, on))
			}
		}
	}
	for range m.keyboard[m.screen()] {
		out.WriteString("\x1b[>1u")
	}
	if m.keypad {
		out.WriteString("\x1b=")
	}
	return out.String() + m.shape + m.modKeys
}

func set(mode string, on bool) string {
	if on {
		return "\x1b[?" + mode + "h"
	}
	return "\x1b[?" + mode + "l"
}
