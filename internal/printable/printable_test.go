package printable_test

import (
	"strings"
	"testing"

	"bottle.internal/internal/printable"
)

func TestText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                 "",
		"plain text":       "plain text",
		"a\r\nb\t\x1b[2J":  `a\r\nb\t\x1b[2J`,
		`"q"`:              `"q"`,
		`"q" \`:            `"q" \\`,
		`\"`:               `\\"`,
		"\x7f":             `\x7f`,
		"\u202e\u009b\xff": `\u202e\u009b\xff`,
		"0123456789abc":    "0123456789abc",
	} {
		if got := printable.ASCII(text, 100); got != want {
			t.Errorf("Text(%q) = %q, want %q", text, got, want)
		}
	}
}

// What is cut is said, also in the middle of a character.
func TestTextIsCut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0123456789":             "0123456789",
		"0123456789abc":          "0123456789...",
		"012345678\u00e9":        `012345678\xc3...`,
		"\n\n\n\n\n\n\n\n\n\n\n": strings.Repeat(`\n`, 10) + "...",
	} {
		if got := printable.ASCII(text, 10); got != want {
			t.Errorf("Text(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestIs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": true, " ~": true, `\"`: true, "\x1f": false, "\x7f": false, "a\nb": false, "\u00e9": false, "\xff": false,
	} {
		if got := printable.IsASCII(text); got != want {
			t.Errorf("Is(%q) = %t", text, got)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, text := range []string{"", "plain", `"\`, "\x1b[2J\r\n", "\u202e\xff"} {
		f.Add(text, 10)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		got := printable.ASCII(text, max(0, limit))
		if !printable.IsASCII(got) {
			t.Errorf("%q is not printable", got)
		}
	})
}
