package smolvmtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
)

// bottleGuest plays the program that runs in every machine: it has a way out, takes what it
// is sent, and runs commands as the fake does.
func (t *fakeTool) bottleGuest(line parsed, args []string, stdin *bufio.Reader) error {
	at := slices.Index(args, "--nonce")
	if at < 0 || at+1 >= len(args) {
		return nil // a terminal's size
	}
	nonce := guestapi.Nonce(args[at+1])
	code := 0
	switch args[0] {
	case "provision":
		if err := proveBoundary(stdin, nonce); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, stdin); err != nil {
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
	_, err := fmt.Fprint(os.Stderr, guestapi.Frame(nonce, code))
	return err
}

// freshGuest recognises a call by which a program that is sent takes bottle-guest's place. It
// must never run: the fake's programs run on the host.
func (t *fakeTool) freshGuest(line parsed) (done bool, err error) {
	script := guestapi.FreshArgs(0, []string{guestapi.Program})[2]
	if len(line.rest) < 6 || line.rest[2] != script {
		return false, nil
	}
	size, err := strconv.ParseInt(line.rest[4], 10, 64)
	if err != nil {
		return true, err
	}
	stdin := bufio.NewReader(os.Stdin)
	if _, err := io.CopyN(io.Discard, stdin, size); err != nil {
		return true, err
	}
	return true, t.bottleGuest(line, line.rest[5:], stdin)
}

// proveBoundary says what a guest without another way out says of its probes.
func proveBoundary(stdin *bufio.Reader, nonce guestapi.Nonce) error {
	line, err := probe.ReadLine(stdin)
	if err != nil {
		return err
	}
	probes, err := probe.Parse[probe.Probe](line)
	if err != nil {
		return err
	}
	said := []probe.Observation{}
	for _, p := range probes {
		said = append(said, probe.Observation{Name: p.Name, Reached: p.Kind == probe.Health})
	}
	fmt.Print(guestapi.Proved(nonce))
	return probe.Write(os.Stdout, said)
}
