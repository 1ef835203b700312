package printable_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"bottle.internal/internal/printable"
)

func TestSafeText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, in, want string }{
		{"plain", "packing agent", "packing agent"},
		{"newline and tab stay", "a\n\tb", "a\n\tb"},
		{"letters of the world stay", "größe 東京 🙂", "größe 東京 🙂"},
		{"a real replacement character stays", "\ufffd", "\ufffd"},
		{"colour", "\x1b[31mred", `\x1b[31mred`},
		{"carriage return", "100%\rgone", `100%\rgone`},
		{"bell, null, backspace", "\a\x00\b", `\x07\x00\x08`},
		{"DEL", "\x7f", `\x7f`},
		{"C1 as a rune", "\u009b31m", `\u009b31m`},
		{"C1 as a byte", "\x9b31m", `\x9b31m`},
		{"bidi override", "ab\u202egpj.exe", `ab\u202egpj.exe`},
		{"bidi isolate", "\u2066\u2069", `\u2066\u2069`},
		{"zero width", "a\u200b\u200d\ufeffb", `a\u200b\u200d\ufeffb`},
		{"fillers", "\u3164\u115f\u034f\uffa0", `\u3164\u115f\u034f\uffa0`},
		{"emoji with a variation stay", "\u2764\ufe0f", "\u2764\ufe0f"},
		{"line separators", "\u2028\u2029", `\u2028\u2029`},
		{"tag character", "\U000e0041", `\U000e0041`},
		{"bad UTF-8", "a\xffb\xc3", `a\xffb\xc3`},
		{"encoded surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := printable.SafeText(test.in); got != test.want {
				t.Errorf("SafeText(%q) = %q, want %q", test.in, got, test.want)
			}
		})
	}
}

func TestSafeLine(t *testing.T) {
	t.Parallel()
	if got, want := printable.SafeLine("größe\n\ta\x1b[2J"), `größe  a\x1b[2J`; got != want {
		t.Errorf("SafeLine = %q, want %q", got, want)
	}
}

// What a program reads back is what went in.
func TestSafeJSON(t *testing.T) {
	t.Parallel()
	hostile := "größe\u007f\u009b\u202e\U000e0041\n"
	raw, err := json.Marshal(hostile)
	if err != nil {
		t.Fatal(err)
	}
	got := printable.SafeJSON(string(raw))
	if want := `"größe\u007f\u009b\u202e\udb40\udc41\n"`; got != want {
		t.Errorf("SafeJSON = %s, want %s", got, want)
	}
	var back string
	if err := json.Unmarshal([]byte(got), &back); err != nil || back != hostile {
		t.Errorf("it reads back as %q, %v", back, err)
	}
}

func FuzzSafeText(f *testing.F) {
	for _, seed := range []string{"", "a", "\x1b]0;x\a", "\xff\xfe", "\u202e", "\U000e0001\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out := printable.SafeText(in)
		if !utf8.ValidString(out) {
			t.Fatalf("SafeText(%q) = %q is not UTF-8", in, out)
		}
		for _, r := range out {
			if r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point) {
				t.Fatalf("SafeText(%q) = %q lets %U through", in, out, r)
			}
		}
		if again := printable.SafeText(out); again != out {
			t.Fatalf("SafeText is not stable: %q, then %q", out, again)
		}
	})
}

func TestEscaped(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"one\n  two\t\x1b[2J":   `one\n  two\t\x1b[2J`,
		strings.Repeat("a", 21): strings.Repeat("a", 20) + "...",
		"1234567890123456789ß":  "1234567890123456789...", // no half letter
	} {
		if got := printable.Escaped(text, 20); got != want {
			t.Errorf("Escaped(%q) = %q, want %q", text, got, want)
		}
	}
}
