// Package printable makes text from outside safe to show.
//
// What it returns is one line of printable ASCII, bounded, and says of every other byte which
// it was.
package printable

import (
	"strconv"
	"strings"
)

// Text makes text safe for a log, a header and a terminal: one line of printable ASCII,
// everything else escaped, cut at limit bytes before escaping.
func Text(text string, limit int) string {
	cut := ""
	if len(text) > limit {
		text, cut = text[:limit], "..."
	}
	if Is(text) && !strings.Contains(text, `\`) {
		return text + cut
	}
	quoted := strconv.QuoteToASCII(text)
	// Left to right, so that an escaped backslash is not taken for half of a quote.
	return strings.NewReplacer(`\\`, `\\`, `\"`, `"`).Replace(quoted[1:len(quoted)-1]) + cut
}

// Is reports whether text is printable ASCII, spaces included.
func Is(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}
