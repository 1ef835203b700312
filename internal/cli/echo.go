package cli

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// echoOff makes a terminal show nothing of what is typed; lines and ^C stay as they are.
func echoOff(fd int) error {
	state, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return fmt.Errorf("reading the terminal's state: %w", err)
	}
	state.Lflag &^= unix.ECHO
	state.Lflag |= unix.ICANON | unix.ISIG
	state.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, setTermios, state); err != nil {
		return fmt.Errorf("turning the echo off: %w", err)
	}
	return nil
}
