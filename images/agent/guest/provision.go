//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/guest"
)

// provisionCommand proves that the daemon behind a port answers, tells the host so, and
// only then reads what the host wants to have in the machine. It is one command because
// each start of a process costs a tenth of a second in an emulated machine. The frame
// says how it went, as in exec.
func provisionCommand(args []string, m machine, stderr io.Writer) (int, error) {
	flags := newFlags("provision")
	text := flags.String("nonce", "", "")
	if err := flags.Parse(args); err != nil {
		return 0, usageError{err.Error()}
	}
	nonce, err := guest.ParseNonce(strings.Clone(*text))
	if err != nil {
		return 0, usageError{err.Error()}
	}
	hideNonce(os.Args, nonce)
	if err := health(flags.Args(), m.patience); err != nil {
		return 0, err
	}
	if _, err := os.Stdout.WriteString(guest.Proved(nonce)); err != nil {
		return 0, fmt.Errorf("reporting the proof: %w", err)
	}
	unix.Umask(0o022)
	code := 0
	if err := m.place.Receive(os.Stdin); err != nil {
		fmt.Fprintf(stderr, "bottle-guest: %v\n", err)
		code = exitSelf
	}
	if _, err := io.WriteString(stderr, guest.Frame(nonce, code)); err != nil {
		return 0, fmt.Errorf("reporting the exit code: %w", err)
	}
	return code, nil
}
