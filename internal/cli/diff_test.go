package cli

import (
	"bytes"
	"testing"
)

// What widens stands out on a terminal, and is plain text everywhere else.
func TestHighlight(t *testing.T) {
	t.Parallel()
	const text = "! widens   a: off -> on\n  narrows  b: on -> off\n"
	if got := coloured(text); got != "\x1b[1;31m! widens   a: off -> on\x1b[0m\n  narrows  b: on -> off\n" {
		t.Errorf("%q", got)
	}
	if got := (&session{Streams: Streams{Stdout: &bytes.Buffer{}}}).highlight(text); got != text {
		t.Errorf("not a terminal: %q", got)
	}
}
