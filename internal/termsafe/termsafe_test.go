package termsafe_test

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"bottle.internal/internal/termsafe"
)

// filtered is what comes out of a filter that gets the input in pieces of the given size,
// without the reset at the end.
func filtered(t *testing.T, in string, size int) string {
	t.Helper()
	var out bytes.Buffer
	filter := termsafe.New(&out)
	for rest := []byte(in); len(rest) > 0; {
		n := min(size, len(rest))
		if wrote, err := filter.Write(rest[:n]); wrote != n || err != nil {
			t.Fatalf("Write = %d, %v", wrote, err)
		}
		rest = rest[n:]
	}
	return out.String()
}

// SECURITY-RULES 16.
func TestFilter(t *testing.T) {
	t.Parallel()
	const same = "\x00same"
	for _, test := range []struct{ name, in, want string }{
		// what programs with a screen need
		{"text", "hello, wörld 你好 👩‍💻\r\n\tx\b\a", same},
		{"colours", "\x1b[1;31mred\x1b[0m \x1b[38;2;1;2;3mtrue\x1b[m \x1b[4:3mcurly\x1b[38:5:3m", same},
		{"cursor", "\x1b[2J\x1b[H\x1b[10;20Hx\x1b[3A\x1b[K\x1b[5G\x1b7\x1b8\x1bM\x1b[s\x1b[u", same},
		{"another screen", "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?25h\x1b[?1049l", same},
		{"mouse and paste", "\x1b[?1000h\x1b[?1002;1006h\x1b[?2004h\x1b[?1004h\x1b[?2026h", same},
		{"keys", "\x1b[?1h\x1b=\x1b>\x1b[>1u\x1b[<u\x1b[=1;1u\x1b[>4;2m", same},
		{"scrolling", "\x1b[2;20r\x1b[3S\x1b[3T\x1b[2L\x1b[2M\x1b[2P\x1b[2@\x1b[4X\x1b[3b", same},
		{"line drawing", "\x1b(0lqk\x1b(B\x0e\x0f", same},
		{"cursor shape", "\x1b[5 q\x1b[!p", same},
		{"questions with a harmless answer", "\x1b[6n\x1b[5n\x1b[c\x1b[>c\x1b[?6n\x1b[?u\x1b[?2026$p\x1b[?996n", same},
		{"a control in the middle of a sequence", "\x1b[3\n1mx", "\n\x1b[31mx"},

		// titles and links
		{"title", "\x1b]0;make\x07\x1b]2;more\x1b\\", "\x1b[22;0t\x1b]0;bottle: make\x1b\\\x1b]2;bottle: more\x1b\\"},
		{"title with controls", "\x1b]0;a\u202eb\u200bc\x7f\x01d\x07", "\x1b[22;0t\x1b]0;bottle: abcd\x1b\\"},
		{"title that is no UTF-8", "\x1b]0;a\xffb\x07c", "c"},
		{"title that is long", "\x1b]0;" + strings.Repeat("ü", 500) + "\x07", "\x1b[22;0t\x1b]0;bottle: " + strings.Repeat("ü", 100) + "\x1b\\"},
		{"link", "\x1b]8;;https://example.com/a?b=c\x1b\\x\x1b]8;;\x1b\\", same},
		{"link with an id", "\x1b]8;id=a.1;http://example.com/\x07x", "\x1b]8;id=a.1;http://example.com/\x1b\\x"},
		{"link with other parameters", "\x1b]8;x=y:id=\x01;http://example.com/\x07x", "\x1b]8;;http://example.com/\x1b\\x"},
		{"link to a file", "\x1b]8;;file:///etc/passwd\x07x", "\x1b]8;;\x1b\\x"},
		{"link to a program", "\x1b]8;;vscode://x/y\x07x", "\x1b]8;;\x1b\\x"},
		{"link with a user", "\x1b]8;;https://github.com@evil.example/\x07x", "\x1b]8;;\x1b\\x"},
		{"link that is long", "\x1b]8;;https://example.com/" + strings.Repeat("a", 3000) + "\x07x", "\x1b]8;;\x1b\\x"},
		{"link with odd characters", "\x1b]8;;https://example.com/ü\x07x", "\x1b]8;;\x1b\\x"},

		// what a terminal would do something with
		{"clipboard", "a\x1b]52;c;ZXZpbA==\x07b\x1b]52;c;?\x1b\\c", "abc"},
		{"files and commands of iTerm2", "a\x1b]1337;File=name=x:AAAA\x07b\x1b]1337;Custom=id=x:y\x1b\\c", "abc"},
		{"icon, colours, directory, notices, fonts", "a\x1b]1;x\x07\x1b]4;1;?\x07\x1b]7;file://h/\x07\x1b]9;x\x07\x1b]10;?\x07\x1b]50;?\x07\x1b]777;notify;a;b\x07b", "ab"},
		{"OSC without a number", "a\x1b];x\x07\x1b]L0\x07\x1b]l\x1b\\b", "ab"},
		{"OSC 8 in other spellings", "a\x1b]08;;https://example.com/\x07\x1b]52 ;c;x\x07b", "ab"},
		{"DCS: settings, sixels, tmux, screen", "a\x1bP$qm\x1b\\b\x1bP+q544e\x1b\\c\x1bPtmux;\x1b\x1b]52;c;x\x07\x1b\\d\x1bPq#0\x1b\\e", "abcde"},
		{"APC, PM, SOS", "a\x1b_Gi=1;AAAA\x1b\\b\x1b^pm\x1b\\c\x1bXsos\x1b\\d", "abcd"},
		{"title of screen", "a\x1bkrm -rf /\x1b\\b", "ab"},
		{"a bell ends no DCS", "a\x1bPx\x07y\x1b\\b", "ab"},
		{"window: report, move, resize", "a\x1b[21t\x1b[20t\x1b[8;9;9t\x1b[14t\x1b[3;1;1t\x1b[22;0t\x1b[23;0t\x1b[>2tb", "ab"},
		{"checksums, rectangles, locator", "a\x1b[1;1;1;1;1;9*y\x1b[1;1;9;9$x\x1b[1'z\x1b[1$wb", "ab"},
		{"printing", "a\x1b[5i\x1b[4i\x1b[?5ib", "ab"},
		{"answers with text", "a\x05\x1bZ\x1b[>q\x1b[=c\x1b[x\x1b[?15n\x1b[?26n\x1b[1c\x1b[?1$ub", "ab"},
		{"modes that are not on the list", "a\x1b[?2l\x1b[?3h\x1b[2h\x1b[?25;3;5h\x1b[?9999hb", "a\x1b[?25hb"},
		{"saved modes", "a\x1b[?1049s\x1b[?1049rb", "ab"},
		{"out of UTF-8, 8-bit answers", "a\x1b%@\x1b G\x1bn\x1b|\x1b}\x1bN\x1bOb", "ab"},
		{"tracking that waits for an answer", "a\x1b[1;2;3;4;5Tb", "ab"},
		{"huge numbers", "a\x1b[999999999bb\x1b[1;100000Hc", "abc"},
		{"markers out of place", "a\x1b[3?1hb\x1b[1;?2Jc\x1b[1 2md", "abcd"},

		// C1 controls
		{"8-bit C1 is no character", "a\x9b31mb\x9d52;c;x\x07c\x90x\x9cd", "a�31mb�52;c;x\ac�x�d"},
		{"C1 in UTF-8 is what it says", "a\u009b31mb\u009d52;c;x\x07c\u0090x\u009cd\u009d0;t\u009ce", "a\x1b[31mbcd\x1b[22;0t\x1b]0;bottle: t\x1b\\e"},
		{"APC, PM, SOS in UTF-8", "a\u009fx\u009cb\u009ex\x1b\\c\u0098x\u009cd", "abcd"},
		{"other C1 in UTF-8", "a\u0085b\u009ac\u009cd", "a�b�c�d"},

		// what does not end, or ends otherwise
		{"broken off by ESC", "\x1b]52;c;x\x1b[31mred", "\x1b[31mred"},
		{"broken off by CAN and SUB", "a\x1b]52;c\x18b\x1bPq\x1ac\x1b[3\x18d\x1b\x1ae", "abcde"},
		{"ESC ESC", "\x1b\x1b[31mx\x1b]0\x1b\x1b]52;c;y\x07z", "\x1b[31mxz"},
		{"long OSC", "a\x1b]0;" + strings.Repeat("x", 9000) + "\x07b", "ab"},
		{"long CSI", "a\x1b[" + strings.Repeat("1;", 9000) + "mb", "ab"},
		{"long escape", "a\x1b((((((((Bb", "a(((Bb"},
		{"bad UTF-8", "a\xc3(b\xe2\x82c\xff\xed\xa0\x80d\xf0\x9f\x98e", "a�(b�c����d�e"},
		{"bad UTF-8 in a sequence", "a\x1b[3\xff1mb\x1b\xffc\x1b[3ü1md", "abcd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want := test.want
			if want == same {
				want = test.in
			}
			for size := 1; size <= min(len(test.in), 64)+1; size++ { // every way to cut the stream
				if got := filtered(t, test.in, size); got != want {
					t.Fatalf("in pieces of %d: %q, want %q", size, got, want)
				}
			}
			if got := filtered(t, test.in, len(test.in)); got != want {
				t.Errorf("whole: %q, want %q", got, want)
			}
		})
	}
}

const always = "\x0f\x1b[0m"

func TestReset(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, in, want string }{
		{"colours only", "\x1b[31m", ""},
		{
			"a whole screen program", "\x1b[?1049h\x1b[?25l\x1b[?1000;1006h\x1b[?2004h\x1b[?1h\x1b=\x1b[2;10r\x1b[5 q\x1b(0\x1b]0;t\x07",
			"\x1b[?1l\x1b[?1000l\x1b[?1006l\x1b[?2004l\x1b[?25h\x1b[?1049l\x1b7\x1b[r\x1b8\x1b>\x1b[0 q\x1b(B\x1b)B\x1b[23;0t",
		},
		{"it cleaned up itself", "\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[?2004l\x1b[?25h\x1b[?1049l\x1b=\x1b>\x1b[4h\x1b[4l", ""},
		{"wrap, insert, newline", "\x1b[?7l\x1b[4h\x1b[20h", "\x1b[?7h\x1b[4l\x1b[20l"},
		{"keyboard on both screens", "\x1b[>1u\x1b[?1049h\x1b[>3u\x1b[>3u\x1b[<u\x1b[=5u", "\x1b[=0u\x1b[<1u\x1b[?1049l\x1b[<1u"},
		{"keyboard was popped", "\x1b[>1u\x1b[>1u\x1b[<2u\x1b[>4;1m", "\x1b[>4m"},
		{"a link that is open", "\x1b]8;;https://example.com/\x07x", "\x1b]8;;\x1b\\"},
		{"reset by itself", "\x1b[?1049h\x1b[?1000h\x1bc", ""},
		{"in the middle", "\x1b[?25l\x1b]0;never ends", "\x1b[?25h"},
		{"half a character", "\xe2\x82", "�"},
	} {
		var out bytes.Buffer
		filter := termsafe.New(&out)
		_, _ = filter.Write([]byte(test.in))
		out.Reset()
		if err := filter.Close(); err != nil {
			t.Fatal(err)
		}
		if want := test.want + always; out.String() != want {
			t.Errorf("%s: %q, want %q", test.name, out.String(), want)
		}
		out.Reset()
		if err := filter.Close(); err != nil || out.Len() > 0 {
			t.Errorf("%s: a second reset is %q", test.name, out.String())
		}
	}
}

func TestRaw(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	filter := termsafe.NewRaw(&out)
	const in = "\x1b]52;c;x\x07\x1b[?1049h\x90\x1bPq"
	_, _ = filter.Write([]byte(in))
	if out.String() != in {
		t.Errorf("%q, want %q", out.String(), in)
	}
	out.Reset()
	if err := filter.Close(); err != nil || out.String() != "\x18\x1b\\\x1b[?1049l"+always {
		t.Errorf("reset: %q, %v", out.String(), err)
	}
}

func TestAsked(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{"\x1b[6n": true, "\x1b[c": true, "\x1b[?u": true, "\x1b[31mx\x1b[21t": false} {
		filter := termsafe.New(&bytes.Buffer{})
		_, _ = filter.Write([]byte(in))
		if filter.Asked() != want {
			t.Errorf("%q: %v", in, !want)
		}
	}
}

// Whoever is shown old output is not asked what was answered then: the answer would be typed.
func TestQuiet(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	filter := termsafe.NewQuiet(&out)
	_, _ = filter.Write([]byte("a\x1b[6nb\x1b[c\x1b[31mc"))
	if out.String() != "ab\x1b[31mc" || filter.Asked() {
		t.Errorf("%q, asked: %v", out.String(), filter.Asked())
	}
}

func TestTracker(t *testing.T) {
	t.Parallel()
	tracker := termsafe.NewTracker()
	tracker.Feed([]byte("\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[?2026h\x1b[>1u\x1b="))
	if !tracker.Whole() {
		t.Error("not whole")
	}
	if got, want := tracker.Modes(), "\x1b[?1049h\x1b[?2004h\x1b[?25l\x1b[>1u\x1b="; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, part := range []string{"\x1b", "\x1b[", "\x1b]0;x", "\xe2\x82"} {
		tracker := termsafe.NewTracker()
		if tracker.Feed([]byte(part)); tracker.Whole() {
			t.Errorf("%q is whole", part)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("pipe is gone") }

func TestFilterReportsItsWriter(t *testing.T) {
	t.Parallel()
	if _, err := termsafe.New(broken{}).Write([]byte("x")); err == nil || err.Error() != "pipe is gone" {
		t.Errorf("err = %v", err)
	}
}

// What may come out, written down a second time and in another way.
var good = regexp.MustCompile("^(?:" + strings.Join([]string{
	`[^\x00-\x06\x10-\x1f\x7f\x{80}-\x{9f}]`,
	`\x1b[78=>DEMc69]`, `\x1b#[34568]`, `\x1b[()*+][AB012]`,
	`\x1b\[[0-9;:]*[@A-MPSTXZ\x60abdefhlmnrsuc]`,
	`\x1b\[\?[0-9;:]*[hlnuJK]`, `\x1b\[>[0-9;:]*[mcu]`, `\x1b\[[<=][0-9;:]*u`,
	`\x1b\[[0-9;:]* q`, `\x1b\[!p`, `\x1b\[[0-9;:]*!p`, `\x1b\[\??[0-9;:]*\$p`,
	`\x1b\[2[23];0t`,
	`\x1b\][02];bottle: [^\x00-\x1f\x7f\x{80}-\x{9f}]*\x1b\\`,
	`\x1b\]8;(?:id=[A-Za-z0-9._-]*)?;(?:https?://[!-~]+)?\x1b\\`,
}, "|") + ")*$")

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"\x1b[1;31mred\x1b[0m", "\x1b]52;c;x\x07", "\u009d52;c;x\u009c", "\x9d52;c;x\x9c", "\x1bP\x1b\x1b]0;x\x07\x1b\\",
		"\x1b]8;;https://example.com/\x07x\x1b]8;;\x07", "\xe2\x82\x1b[?1049h\x1b[>1u", "\x1b]0;\xff\x07\x1bk\x1b\x1b[c", "\x1b[!p\x1b[ q\x1b%@",
	} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		whole := filtered(t, string(in), len(in)+1)
		if cut := filtered(t, string(in), int(size)%16+1); cut != whole {
			t.Errorf("in pieces of %d: %q, whole: %q", int(size)%16+1, cut, whole)
		}
		if !utf8.ValidString(whole) || !good.MatchString(whole) {
			t.Errorf("%q came out of %q", whole, in)
		}
		var out bytes.Buffer
		filter := termsafe.New(&out)
		_, _ = filter.Write(in)
		if held := filter.Held(); held > 8192+4 {
			t.Errorf("%d bytes are held", held)
		}
		if err := filter.Close(); err != nil || !good.MatchString(out.String()) {
			t.Errorf("with the reset: %q, %v", out.String(), err)
		}
		tracker := termsafe.NewTracker()
		tracker.Feed(in)
		if modes := tracker.Modes(); !good.MatchString(modes) {
			t.Errorf("modes %q", modes)
		}
	})
}

func TestText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, in string
		want     []string
	}{
		{"lines", "a\nb\r\n\nc", []string{"a", "b", "", "c"}},
		{"the last state of a line", "10%\r20%\r\x1b[K30%\n", []string{"30%"}},
		{"a spinner that goes away", "busy\r\x1b[Kdone\n", []string{"done"}},
		{"colours, titles, links, clipboard", "\x1b[31mred\x1b[0m \x1b]0;t\x07\x1b]8;;http://x/\x07link\x1b]8;;\x07\x1b]52;c;x\x07\n", []string{"red link"}},
		{"backspace", "ab\b\bcü\bd\n", []string{"cd"}},
		{"a screen", "\x1b[?1049h\x1b[Hone\x1b[2;1Htwo\x1b[3dthree\x1b[1Cmore\x1b[2J", []string{"one", "two", "three more"}},
		{"columns", "a\x1b[5Gb\x1b[1Gc\n", []string{"c"}},
		{"bad bytes", "a\xffb\x1b[3\xff1mc\n", []string{"a�bc"}},
		{"controls", "a\x00\x05\x07b\tc\n", []string{"ab\tc"}},
	} {
		for size := 1; size <= len(test.in); size++ {
			var got []string
			text := termsafe.NewText(func(line string) { got = append(got, line) })
			for rest := test.in; rest != ""; {
				n := min(size, len(rest))
				_, _ = text.Write([]byte(rest[:n]))
				rest = rest[n:]
			}
			if err := text.Close(); err != nil {
				t.Fatal(err)
			}
			if strings.Join(got, "|") != strings.Join(test.want, "|") {
				t.Fatalf("%s, in pieces of %d: %q, want %q", test.name, size, got, test.want)
			}
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("a\rb\n\x1b[31mü\xff\b\b\b"), uint8(2))
	f.Add(bytes.Repeat([]byte("ü"), 9000), uint8(7))
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		lines := func(size int) string {
			var all []string
			text := termsafe.NewText(func(line string) {
				if len(line) > 17<<10 || !utf8.ValidString(line) || strings.ContainsAny(line, "\x1b\n\r\u009b\u009d") {
					t.Errorf("line %q", line)
				}
				all = append(all, line)
			})
			for rest := in; len(rest) > 0; {
				n := min(size, len(rest))
				_, _ = text.Write(rest[:n])
				rest = rest[n:]
			}
			_ = text.Close()
			return strings.Join(all, "\n")
		}
		if whole, cut := lines(len(in)+1), lines(int(size)%16+1); whole != cut {
			t.Errorf("%q in pieces, %q whole", cut, whole)
		}
	})
}
