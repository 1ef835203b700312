package guestapi_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"bottle.internal/internal/guestapi"
)

func TestFrameFilter(t *testing.T) {
	t.Parallel()
	const other = "\x1ebottle-exit:fedcba9876543210:0\x1e\n"
	for _, test := range []struct {
		name, in, want string
		code           int // -1: none
	}{
		{"nothing", "", "", -1},
		{"only text", "hello\n", "hello\n", -1},
		{"frame at the end", "hello\n" + guestapi.Frame(nonce, 3), "hello\n", 3},
		{"after a line without end", "$ " + guestapi.Frame(nonce, 0), "$ ", 0},
		{"through a terminal", "a\r\n\x1ebottle-exit:0123456789abcdef:130\x1e\r\n", "a\r\n", 130},
		{"without newline", "a\x1ebottle-exit:0123456789abcdef:255\x1e", "a", 255},
		{"carriage return only", "a\x1ebottle-exit:0123456789abcdef:1\x1e\r", "a\r", 1},
		{"later output of a background program", guestapi.Frame(nonce, 1) + "late\n", "late\n", 1},
		{"a second one is text", guestapi.Frame(nonce, 1) + guestapi.Frame(nonce, 2), guestapi.Frame(nonce, 2), 1},
		{"foreign nonce", other, other, -1},
		{"foreign nonce first", other + guestapi.Frame(nonce, 9), other, 9},
		{"mark before the frame", "\x1e\x1e" + guestapi.Frame(nonce, 9), "\x1e\x1e", 9},
		{"cut off", "x\x1ebottle-exit:0123456789abcdef:1", "x\x1ebottle-exit:0123456789abcdef:1", -1},
		{"cut off in the nonce", "x\x1ebottle-exit:0123", "x\x1ebottle-exit:0123", -1},
		{"no digits", "\x1ebottle-exit:0123456789abcdef:\x1e\n", "\x1ebottle-exit:0123456789abcdef:\x1e\n", -1},
		{"256", "\x1ebottle-exit:0123456789abcdef:256\x1e\n", "\x1ebottle-exit:0123456789abcdef:256\x1e\n", -1},
		{"-1", "\x1ebottle-exit:0123456789abcdef:-1\x1e\n", "\x1ebottle-exit:0123456789abcdef:-1\x1e\n", -1},
		{"+1", "\x1ebottle-exit:0123456789abcdef:+1\x1e\n", "\x1ebottle-exit:0123456789abcdef:+1\x1e\n", -1},
		{"007", "\x1ebottle-exit:0123456789abcdef:007\x1e\n", "\x1ebottle-exit:0123456789abcdef:007\x1e\n", -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for size := 1; size <= max(1, len(test.in)); size++ { // every way to cut the stream
				var out bytes.Buffer
				filter := guestapi.NewFrameFilter(&out, nonce)
				for in := []byte(test.in); len(in) > 0; {
					n := min(size, len(in))
					if wrote, err := filter.Write(in[:n]); wrote != n || err != nil {
						t.Fatalf("Write = %d, %v", wrote, err)
					}
					in = in[n:]
				}
				if err := filter.Close(); err != nil {
					t.Fatal(err)
				}
				code, ok := filter.Code()
				if !ok {
					code = -1
				}
				if out.String() != test.want || code != test.code {
					t.Fatalf("in pieces of %d: %q, code %d; want %q, code %d", size, out.String(), code, test.want, test.code)
				}
			}
		})
	}
}

// A person at a terminal must see each key's echo at once.
func TestFrameFilterHoldsBackNoText(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	filter := guestapi.NewFrameFilter(&out, nonce)
	for _, step := range []struct{ write, want string }{
		{"$ ", "$ "},
		{"\x1e", "$ "},
		{"x", "$ \x1ex"},
		{"\x1ebottle-exit:0", "$ \x1ex"},
		{"9", "$ \x1ex\x1ebottle-exit:09"},
	} {
		if _, err := filter.Write([]byte(step.write)); err != nil {
			t.Fatal(err)
		}
		if out.String() != step.want {
			t.Errorf("after %q: %q, want %q", step.write, out.String(), step.want)
		}
	}
}

func TestResult(t *testing.T) {
	t.Parallel()
	killed := errors.New("smolvm-lite: killed by killed")
	for _, test := range []struct {
		name, in string
		toolCode int
		toolErr  error
		code     int
		err      string
	}{
		{"the guest's code wins over the tool's", guestapi.Frame(nonce, 7), 1, nil, 7, ""},
		{"and over the tool's failure", guestapi.Frame(nonce, 0), -1, killed, 0, ""},
		{"no frame", "Error: vm not found: x\n", 1, nil, 1, "the guest reported no exit code: the VM tool ended with status 1"},
		{"no frame, though the tool was happy", "", 0, nil, 0, "the guest reported no exit code: the VM tool ended with status 0"},
		{"the tool died", "", 137, killed, 137, "the guest reported no exit code: smolvm-lite: killed by killed"},
	} {
		filter := guestapi.NewFrameFilter(&bytes.Buffer{}, nonce)
		fmt.Fprint(filter, test.in)
		if err := filter.Close(); err != nil {
			t.Fatal(err)
		}
		code, err := filter.Result(test.toolCode, test.toolErr)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if code != test.code || text != test.err {
			t.Errorf("%s: %d, %q; want %d, %q", test.name, code, text, test.code, test.err)
		}
		if (test.err != "") != errors.Is(err, guestapi.ErrNoExit) || (err != nil && test.toolErr != nil && !errors.Is(err, killed)) {
			t.Errorf("%s: wrong kind of error %v", test.name, err)
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("pipe is gone") }

func TestFrameFilterReportsItsWriter(t *testing.T) {
	t.Parallel()
	if _, err := guestapi.NewFrameFilter(brokenWriter{}, nonce).Write([]byte("x")); err == nil || err.Error() != "pipe is gone" {
		t.Errorf("err = %v", err)
	}
}

// Whatever comes before and after, and however it is cut: out goes what came in,
// minus exactly the one genuine frame.
func FuzzFrameFilter(f *testing.F) {
	f.Add([]byte("hello\n"), []byte("late"), byte(3), uint16(2))
	f.Add([]byte("\x1ebottle-exit:0123456789abcde"), []byte("\r\n"), byte(255), uint16(1))
	f.Add([]byte("\x1ebottle-exit:0123456789abcdef:12"), []byte("\n\n"), byte(0), uint16(7))
	f.Add([]byte("\x1e\x1ebottle-exit:fedcba9876543210:1\x1e\n"), []byte("\x1e"), byte(137), uint16(40))
	f.Fuzz(func(t *testing.T, before, after []byte, code byte, cut uint16) {
		frame := guestapi.Frame(nonce, int(code))
		stream := string(before) + frame + string(after)
		// The input may forge the nonce: then another frame can be the first one.
		if strings.Contains(string(before)+"\x1e", string(nonce)+":") || strings.Contains(string(after), string(nonce)) {
			t.Skip()
		}
		var out bytes.Buffer
		filter := guestapi.NewFrameFilter(&out, nonce)
		size := int(cut)%64 + 1
		for in := []byte(stream); len(in) > 0; {
			n := min(size, len(in))
			if _, err := filter.Write(in[:n]); err != nil {
				t.Fatal(err)
			}
			if held := len(stream) - len(in) + n - out.Len(); held > len(frame)+1 {
				if _, seen := filter.Code(); !seen {
					t.Fatalf("%d bytes are held back", held)
				}
			}
			in = in[n:]
			size = size%64 + 1
		}
		if err := filter.Close(); err != nil {
			t.Fatal(err)
		}
		if got, ok := filter.Code(); !ok || got != int(code) {
			t.Errorf("code = %d, %v, want %d", got, ok, code)
		}
		if want := string(before) + string(after); out.String() != want {
			t.Errorf("out = %q, want %q", out.String(), want)
		}
	})
}
