// Package urlpath refuses request paths that two readers could understand
// differently. It never cleans: a path that passes is forwarded byte for byte.
package urlpath

import (
	"strings"
	"unicode/utf8"
)

// Problem says why a path is refused; it is an error and a stable text.
type Problem string

// Error implements error.
func (p Problem) Error() string { return string(p) }

// The refusals.
const (
	NoSlash      Problem = "the path does not begin with /"
	DoubleSlash  Problem = "the path holds //"
	DotSegment   Problem = "the path holds a . or .. segment"
	Backslash    Problem = "the path holds a backslash"
	Semicolon    Problem = "the path holds a semicolon"
	Control      Problem = "the path holds a control character, a space or a byte outside ASCII"
	BadEscape    Problem = "the path holds a broken percent escape"
	HiddenEscape Problem = "the path escapes a slash, backslash, dot, percent, semicolon or control character"
	NotCanonical Problem = "the path escapes a character that needs no escape"
	NotUTF8      Problem = "the path escapes bytes that are not UTF-8"
)

// Check judges the path of a request as it was sent, without its query.
func Check(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return NoSlash
	case strings.Contains(path, "//"):
		return DoubleSlash
	case strings.Contains(path, `\`):
		return Backslash
	case strings.Contains(path, ";"):
		return Semicolon
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return DotSegment
		}
	}
	return checkEscapes(path)
}

func checkEscapes(path string) error {
	decoded := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		b := path[i]
		switch {
		case b <= ' ' || b >= 0x7f:
			return Control
		case b == '%':
			value, err := unescape(path[i:])
			if err != nil {
				return err
			}
			b = value
			i += 2
		}
		decoded = append(decoded, b)
	}
	if !utf8.Valid(decoded) {
		return NotUTF8
	}
	return nil
}

// unescape reads one %XX and refuses the ones that hide a delimiter or that are
// only a second spelling of a plain character.
func unescape(text string) (byte, error) {
	if len(text) < 3 {
		return 0, BadEscape
	}
	high, okHigh := hexDigit(text[1])
	low, okLow := hexDigit(text[2])
	if !okHigh || !okLow {
		return 0, BadEscape
	}
	b := high<<4 | low
	switch {
	case strings.IndexByte(`/\.%;`, b) >= 0, b < ' ', b == 0x7f:
		return 0, HiddenEscape
	case isUnreserved(b):
		return 0, NotCanonical
	}
	return b, nil
}

func hexDigit(b byte) (byte, bool) {
	switch {
	case b >= '0' && b <= '9':
		return b - '0', true
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10, true
	case b >= 'A' && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}

// isUnreserved is RFC 3986, section 2.3 (the dot is refused before).
func isUnreserved(b byte) bool {
	switch {
	case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
		return true
	}
	return b == '-' || b == '_' || b == '~'
}
