package printable

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// SafeText makes text from outside safe to print on a terminal: control characters
// but newline and tab, invisible and direction-changing characters, line separators
// and bytes that are not UTF-8 come out as visible escapes such as \x1b or \u202e.
// Text without any of them is returned as it is.
func SafeText(text string) string {
	if !strings.ContainsFunc(text, unsafeRune) {
		return text
	}
	var safe strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&safe, `\x%02x`, text[i])
		case !unsafeRune(r) || r == utf8.RuneError:
			safe.WriteString(text[i : i+size])
		case r == '\r':
			safe.WriteString(`\r`)
		case r < utf8.RuneSelf:
			fmt.Fprintf(&safe, `\x%02x`, r)
		case r > 0xffff:
			fmt.Fprintf(&safe, `\U%08x`, r)
		default:
			fmt.Fprintf(&safe, `\u%04x`, r)
		}
		i += size
	}
	return safe.String()
}

// SafeLine is SafeText on one line: newlines and tabs are spaces.
func SafeLine(text string) string {
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(SafeText(text))
}

// Escaped is SafeText on one line that nobody takes for two: newlines and tabs are \n and \t,
// and after most bytes it ends in dots.
func Escaped(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(SafeText(text))
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

// unsafeRune also answers yes to U+FFFD, which is what a bad byte decodes to: the
// caller has to look at the bytes then. Cf holds the zero-width and bidi characters, and
// the default ignorable ones beside it are fillers that take no place either.
func unsafeRune(r rune) bool {
	switch r {
	case '\n', '\t':
		return false
	case utf8.RuneError:
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point)
}
