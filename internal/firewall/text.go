package firewall

import (
	"strconv"
	"strings"
)

// printable makes text from outside safe for a log, a header and a terminal: one line
// of printable ASCII, everything else escaped, cut at limit bytes before escaping.
func printable(text string, limit int) string {
	cut := ""
	if len(text) > limit {
		text, cut = text[:limit], "..."
	}
	quoted := strconv.QuoteToASCII(text)
	// Left to right, so that an escaped backslash is not taken for half of a quote.
	return strings.NewReplacer(`\\`, `\\`, `\"`, `"`).Replace(quoted[1:len(quoted)-1]) + cut
}
