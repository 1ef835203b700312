package execx

import (
	"fmt"
	"strings"
	"syscall"

	"bottle.internal/internal/secret"
)

// tailSize bounds the stderr that an error carries.
const tailSize = 8 << 10

// ExitError says how a program failed. errors.Is finds context.Canceled and
// context.DeadlineExceeded in it when those were the reason.
type ExitError struct {
	Name   string         // base name of the program
	Code   int            // exit code, -1 if it did not exit by itself
	Signal syscall.Signal // what killed it, or 0
	Stderr string         // the tail of its standard error, redacted
	err    error
}

func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit status %d", e.Code)
	switch {
	case e.Signal != 0:
		how = "killed by " + e.Signal.String()
	case e.Code < 0:
		how = e.err.Error()
	}
	if last := strings.TrimSpace(e.Stderr); last != "" {
		return fmt.Sprintf("%s: %s: %s", e.Name, how, last)
	}
	return fmt.Sprintf("%s: %s", e.Name, how)
}

func (e *ExitError) Unwrap() error { return e.err }

func redact(text string, secrets []secret.Value) string {
	for _, s := range secrets {
		if !s.IsEmpty() {
			text = strings.ReplaceAll(text, s.Reveal(), secret.Redacted)
		}
	}
	return text
}
