package smolvm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func copyInArgs(name, local, guest string) (invocation, error) {
	err := errors.Join(checkName(name), checkLocal(local), checkGuestPath("guest path", guest))
	return invocation{args: []string{"machine", "cp", plainPath(local), name + ":" + guest}}, err
}

func copyOutArgs(name, guest, local string) (invocation, error) {
	err := errors.Join(checkName(name), checkLocal(local), checkGuestPath("guest path", guest))
	return invocation{args: []string{"machine", "cp", name + ":" + guest, plainPath(local)}}, err
}

// checkLocal refuses a colon: the tool splits at the first one, without an escape.
func checkLocal(local string) error {
	switch {
	case local == "":
		return invalid("local path", local, "it is empty")
	case strings.Contains(local, ":"):
		return invalid("local path", local, "it must not contain a colon")
	}
	return checkBytes("local path", local)
}

// plainPath keeps a file named -x from being a flag.
func plainPath(local string) string {
	if strings.HasPrefix(local, "-") {
		return "./" + local
	}
	return local
}

// CopyIn copies one regular file to an absolute path in a running machine. It arrives
// owned by root, mode 0644.
func (c *Client) CopyIn(ctx context.Context, name, local, guest string) error {
	call, err := copyInArgs(name, local, guest)
	if err == nil {
		err = c.run(ctx, call)
	}
	if err != nil {
		return fmt.Errorf("copying %s to %s in machine %s: %w", local, guest, name, err)
	}
	return nil
}

// CopyOut copies one regular file out of a running machine, mode 0600. What local was
// before is replaced whole, or not touched if that fails.
func (c *Client) CopyOut(ctx context.Context, name, guest, local string) error {
	if err := c.copyOut(ctx, name, guest, local); err != nil {
		return fmt.Errorf("copying %s of machine %s to %s: %w", guest, name, local, err)
	}
	return nil
}

func (c *Client) copyOut(ctx context.Context, name, guest, local string) error {
	if _, err := copyOutArgs(name, guest, local); err != nil {
		return err
	}
	// The tool truncates its target first and deletes it on failure.
	temp, err := os.CreateTemp(filepath.Dir(local), ".smolvm-cp-*")
	if err != nil {
		return fmt.Errorf("making a temporary file: %w", err)
	}
	defer os.Remove(temp.Name()) // gone already after the rename
	if err := temp.Close(); err != nil {
		return fmt.Errorf("making a temporary file: %w", err)
	}
	call, err := copyOutArgs(name, guest, temp.Name())
	if err != nil {
		return err
	}
	if err := c.run(ctx, call); err != nil {
		return err
	}
	return os.Rename(temp.Name(), local)
}
