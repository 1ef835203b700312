package smolvmtest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"bottle.internal/internal/guest"
)

// bottleGuest plays the program that runs in every machine: it has a way out, takes what it
// is sent, and runs commands as the fake does.
func (t *fakeTool) bottleGuest(line parsed) error {
	args := line.rest[1:]
	at := slices.Index(args, "--nonce")
	if at < 0 || at+1 >= len(args) {
		return nil // a terminal's size
	}
	nonce := guest.Nonce(args[at+1])
	code := 0
	switch args[0] {
	case "provision":
		fmt.Print(guest.Proved(nonce))
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
			return err
		}
	case "exec":
		line.rest = args[slices.Index(args, "--")+1:]
		exit := exitCode(0)
		if err := t.exec(line); errors.As(err, &exit) {
			code = int(exit)
		} else if err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(os.Stderr, guest.Frame(nonce, code))
	return err
}
