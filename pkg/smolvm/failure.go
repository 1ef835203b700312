package smolvm

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"bottle.internal/internal/execx"
)

// What a failed call was about, for errors.Is. The error's text is always the tool's.
var (
	ErrNotFound   = errors.New("no such machine")
	ErrNotRunning = errors.New("machine is not running")
	ErrExists     = errors.New("machine exists")
	ErrBusy       = errors.New("machine is being started by somebody else")
	ErrKVM        = errors.New("no usable kvm")
	ErrNoSpace    = errors.New("no space left on device")
)

// maxText bounds the tool's text in a message.
const maxText = 4 << 10

// toolError is a failure in the words of the tool.
type toolError struct {
	kind error // one of the sentinels, or nil
	text string
	err  error // an *execx.ExitError, or why the tool could not be run
}

func (e *toolError) Error() string { return e.text }

func (e *toolError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.err}
	}
	return []error{e.kind, e.err}
}

// explain turns a failed run into an error that names what the tool complained about.
func (c *Client) explain(err error) error {
	exit := (*execx.ExitError)(nil)
	if !errors.As(err, &exit) {
		return err
	}
	complaint, kind := readComplaint(exit.Stderr)
	if complaint == "" || exit.Code < 0 {
		return &toolError{text: clean(err.Error()), err: err}
	}
	return &toolError{kind: kind, text: c.config.Tool.Name + ": " + clean(complaint), err: err}
}

// guestLog precedes a log of the guest's that the tool quotes. What comes after it
// must not decide what kind of failure this is.
const guestLog = "monitor agent: "

// readComplaint finds the last block that begins with "Error: " and what it is about.
func readComplaint(stderr string) (text string, kind error) {
	trusted, _, _ := strings.Cut(stderr, guestLog)
	start := strings.LastIndex("\n"+trusted, "\nError: ")
	if start < 0 {
		return "", nil
	}
	text = strings.TrimSpace(stderr[start+len("Error: "):])
	return text, kindOf(trusted[start+len("Error: "):])
}

var notFoundPattern = regexp.MustCompile(`vm not found: |machine '[^'\n]*' not found`)

func kindOf(text string) error {
	if strings.Contains(text, "No space left on device") || strings.Contains(text, "Disk quota exceeded") {
		return ErrNoSpace
	}
	line, _, _ := strings.Cut(text, "\n")
	switch {
	case notFoundPattern.MatchString(line):
		return ErrNotFound
	case strings.Contains(line, "' is not running"):
		return ErrNotRunning
	case strings.Contains(line, "' already exists"):
		return ErrExists
	case strings.Contains(line, "already starting or running"):
		return ErrBusy
	case strings.Contains(line, "kvm not available"), strings.Contains(line, "kvm permission denied"):
		return ErrKVM
	}
	return nil
}

// clean makes foreign text fit to print: newlines, tabs and what shows, bounded. No
// control, bidi or zero-width characters.
func clean(text string) string {
	var out strings.Builder
	for _, r := range strings.TrimSpace(text) {
		switch {
		case out.Len() > maxText:
			return out.String() + "..."
		case r == '\n', r == '\t', unicode.IsPrint(r):
			out.WriteRune(r) // a bad byte is U+FFFD by now
		default:
			fmt.Fprintf(&out, "\\u%04x", r)
		}
	}
	return out.String()
}
