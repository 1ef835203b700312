package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"bottle.internal/internal/launch"
	"bottle.internal/internal/printable"
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

// report prints an error for a person and returns the exit code it stands for. What a
// bottle left behind is told whatever else happened.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	guest, leftover, kept := (*guestExit)(nil), (*launch.LeftoverError)(nil), (*keptError)(nil)
	passed, interrupted := errors.As(err, &guest), errors.Is(err, context.Canceled)
	ended := errors.As(err, &kept) && kept.err == nil
	if interrupted && !passed {
		fmt.Fprintln(stderr, "bottle: interrupted")
	}
	switch {
	case kept == nil && errors.Is(err, syscall.EPIPE): // whoever read the answer has enough of it
	case !passed && !interrupted && !ended:
		explain(stderr, err)
	case errors.As(err, &leftover):
		explain(stderr, leftover)
	case kept != nil:
		tell(stderr, kept.HintLines())
	}
	var coder interface{ ExitCode() int }
	switch {
	case passed:
		return guest.code
	case interrupted:
		return exitInterrupted
	case ended:
		return exitOK
	case errors.As(err, &coder):
		return coder.ExitCode()
	}
	return exitFailure
}

// explain prints the problem and what to type about it.
func explain(stderr io.Writer, err error) {
	lines := strings.Split(strings.TrimSpace(printable.SafeText(err.Error())), "\n")
	fmt.Fprintf(stderr, "bottle: error: %s\n", strings.Join(lines, "\nbottle:        "))
	tell(stderr, hints(err, nil))
}

// tell prints what to type.
func tell(stderr io.Writer, hints []string) {
	for _, hint := range hints {
		fmt.Fprintf(stderr, "bottle: hint:  %s\n", printable.SafeText(hint))
	}
}

// hints collects what every error in the tree has to say, causes first: start Docker,
// and only then try again.
func hints(err error, found []string) []string {
	switch wrapper := err.(type) { //nolint:errorlint // this walks the tree itself
	case interface{ Unwrap() []error }:
		for _, cause := range wrapper.Unwrap() {
			found = hints(cause, found)
		}
	case interface{ Unwrap() error }:
		found = hints(wrapper.Unwrap(), found)
	}
	if hinter, ok := err.(interface{ HintLines() []string }); ok {
		for _, hint := range hinter.HintLines() {
			if !slices.Contains(found, hint) {
				found = append(found, hint)
			}
		}
	}
	return found
}
