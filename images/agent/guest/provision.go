//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
)

// provisionCommand tries the probes that the host sends, tells it what came of them, and
// only then reads what the host wants to have in the machine. It is one command because
// each start of a process costs a tenth of a second in an emulated machine. The frame
// says how it went, as in exec.
func provisionCommand(args []string, m machine, stderr io.Writer) (int, error) {
	flags := newFlags("provision")
	text := flags.String("nonce", "", "")
	if err := flags.Parse(args); err != nil {
		return 0, usageError{err.Error()}
	}
	nonce, err := guestapi.ParseNonce(strings.Clone(*text))
	if err != nil {
		return 0, usageError{err.Error()}
	}
	hideNonce(os.Args, nonce)
	stdin := bufio.NewReader(os.Stdin)
	if err := m.probe(stdin, nonce, flags.Args()); err != nil {
		return 0, err
	}
	unix.Umask(0o022)
	code := 0
	if err := m.place.Receive(stdin); err != nil {
		fmt.Fprintf(stderr, "bottle-guest: %v\n", err)
		code = exitSelf
	}
	if _, err := io.WriteString(stderr, guestapi.Frame(nonce, code)); err != nil {
		return 0, fmt.Errorf("reporting the exit code: %w", err)
	}
	return code, nil
}

// probe tries what the first line asks for, and says what came of it if the daemon behind
// a port answers.
func (m machine) probe(stdin *bufio.Reader, nonce guestapi.Nonce, port []string) error {
	if err := onePort(port); err != nil {
		return err
	}
	line, err := probe.ReadLine(stdin)
	if err != nil {
		return err
	}
	probes, err := probe.Parse[probe.Probe](line)
	if err != nil {
		return err
	}
	said, err := probe.Machine{Proc: "/proc", Sys: "/sys", SocketDir: m.socketDir, Share: mountShare}.Run(
		probes, func() error { return health(port, m.patience) })
	if err != nil {
		return err
	}
	var out bytes.Buffer
	out.WriteString(guestapi.Proved(nonce))
	if err := probe.Write(&out, said); err != nil {
		return err
	}
	if _, err := os.Stdout.Write(out.Bytes()); err != nil {
		return fmt.Errorf("reporting the probes: %w", err)
	}
	return nil
}

// probeCommand is provision without provisioning: bottle verify asks again with it.
func probeCommand(args []string, m machine) error {
	flags := newFlags("probe")
	text := flags.String("nonce", "", "")
	if err := flags.Parse(args); err != nil {
		return usageError{err.Error()}
	}
	nonce, err := guestapi.ParseNonce(strings.Clone(*text))
	if err != nil {
		return usageError{err.Error()}
	}
	hideNonce(os.Args, nonce)
	return m.probe(bufio.NewReader(os.Stdin), nonce, flags.Args())
}
