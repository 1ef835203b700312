// Package printable makes text from outside safe to show.
//
// ASCII is for logs, headers and other machines: one line of printable ASCII, bounded.
// SafeText, SafeLine and SafeJSON are for a person's terminal: letters of the world stay.
// All of them say of every byte or character that they do not show which it was.
package printable

import (
	"strconv"
	"strings"
)

// ASCII makes text safe for a log, a header and a terminal: one line of printable ASCII,
// everything else escaped, cut at limit bytes before escaping.
func ASCII(text string, limit int) string {
	cut := ""
	if len(text) > limit {
		text, cut = text[:limit], "..."
	}
	if IsASCII(text) && !strings.Contains(text, `\`) {
		return text + cut
	}
	quoted := strconv.QuoteToASCII(text)
	// Left to right, so that an escaped backslash is not taken for half of a quote.
	return strings.NewReplacer(`\\`, `\\`, `\"`, `"`).Replace(quoted[1:len(quoted)-1]) + cut
}

// IsASCII reports whether text is printable ASCII, spaces included.
func IsASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}
