package provision

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Guest installs an archive in the machine: as root it runs `bottle-guest provision`,
// which does what the archive says. Install returns the command's exit code; an error
// means that the command could not be run or its code is not known. A code of 137 counts
// even beside an error: so ends a command that the machine killed.
type Guest interface {
	Install(ctx context.Context, archive []byte, stderr io.Writer) (code int, err error)
}

// GuestError says that the guest refused or failed. Output is the tail of what it
// printed, which names the step, safe for a terminal; it is the guest's word and decides
// nothing.
type GuestError struct {
	Code   int
	Output string
}

func (e *GuestError) Error() string {
	text := fmt.Sprintf("provisioning: the guest ended with status %d", e.Code)
	if e.Output != "" {
		text += ": " + e.Output
	}
	return text
}

// killed is the status of a command that was killed, which happens to the first ones
// in a machine that has just started.
const killed = 137

// Apply sends everything in one archive, a second time if the guest's command was killed.
func Apply(ctx context.Context, guest Guest, r Rendered) error {
	data, err := archive(r)
	if err != nil {
		return fmt.Errorf("provisioning: %w", err)
	}
	var printed tail
	code := killed
	for try := 0; try < 2 && code == killed && ctx.Err() == nil; try++ {
		printed = tail{}
		code, err = guest.Install(ctx, data, &printed)
	}
	if err != nil {
		return fmt.Errorf("provisioning: %w", err)
	}
	if code != 0 {
		return &GuestError{Code: code, Output: printed.String()}
	}
	return nil
}

// tailSize bounds what an error quotes.
const tailSize = 2 << 10

// tail keeps the last bytes written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - tailSize; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// String is the text on one line, without anything that a terminal would obey.
func (t *tail) String() string {
	lines := strings.FieldsFunc(string(t.kept), func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.Join(lines, "; "))
}
