package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"bottle.internal/internal/event"
)

// usageError is a mistake on the command line: exit code 2.
type usageError struct {
	text  string
	hints []string
}

func (e *usageError) Error() string       { return e.text }
func (e *usageError) HintLines() []string { return e.hints }
func (e *usageError) ExitCode() int       { return exitUsage }

// guestExit passes the guest's exit code on as an error, so that everything deferred
// still runs. Nothing is printed for it: the guest said what it had to say.
type guestExit struct{ code int }

func (e *guestExit) Error() string { return fmt.Sprintf("the guest's command exited %d", e.code) }
func (e *guestExit) ExitCode() int { return e.code }

func exitWith(code int) error {
	if code == 0 {
		return nil
	}
	return &guestExit{code}
}

// report prints an error for a person and returns the exit code it stands for.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	if guest := (*guestExit)(nil); errors.As(err, &guest) {
		return guest.code
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(stderr, "bottle: interrupted")
		return exitInterrupted
	}
	lines := strings.Split(strings.TrimSpace(event.SafeText(err.Error())), "\n")
	fmt.Fprintf(stderr, "bottle: error: %s\n", strings.Join(lines, "\nbottle:        "))
	var hinter interface{ HintLines() []string }
	if errors.As(err, &hinter) {
		for _, hint := range hinter.HintLines() {
			fmt.Fprintf(stderr, "bottle: hint:  %s\n", event.SafeText(hint))
		}
	}
	var coder interface{ ExitCode() int }
	if errors.As(err, &coder) {
		return coder.ExitCode()
	}
	return exitFailure
}
