//go:build linux

package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminal is the user's, if there is one.
type terminal struct{ in, out *os.File }

func openTerminal(stdin io.Reader, stdout io.Writer) terminal {
	var t terminal
	if file, ok := stdin.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		t.in = file
	}
	if file, ok := stdout.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		t.out = file
	}
	return t
}

// size is 0, 0 without a terminal, which leaves the guest's default.
func (t terminal) size() (rows, cols uint16) {
	for _, file := range []*os.File{t.out, t.in} {
		if file == nil {
			continue
		}
		if width, height, err := term.GetSize(int(file.Fd())); err == nil {
			return uint16(height), uint16(width)
		}
	}
	return 0, 0
}

// raw gives every key to the guest until restore is called.
func (t terminal) raw() (restore func()) {
	if t.in == nil {
		return func() {}
	}
	state, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return func() {}
	}
	return func() { _ = term.Restore(int(t.in.Fd()), state) }
}
