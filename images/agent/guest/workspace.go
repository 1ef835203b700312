//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/guest/carry"
)

// unpackCommand writes what the host sends into the working directory.
func unpackCommand(args []string) error {
	if len(args) > 0 {
		return usageError{"unpack takes no arguments"}
	}
	unix.Umask(0o022)
	if err := carry.TheMachine().Unpack(context.Background(), bufio.NewReaderSize(os.Stdin, 1<<20)); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	return nil
}

// packCommand sends what has changed in the working directory.
func packCommand(args []string) error {
	if len(args) > 0 {
		return usageError{"pack takes no arguments"}
	}
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	if err := carry.TheMachine().Pack(bufio.NewReaderSize(os.Stdin, 1<<20), out); err != nil {
		return fmt.Errorf("packing: %w", err)
	}
	return out.Flush()
}
