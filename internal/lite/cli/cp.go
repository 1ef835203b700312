//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"bottle.internal/internal/lite/wire"
)

// maxFile is smolvm's limit for one file.
const maxFile = 4 << 30

func (a *App) copyFile(ctx context.Context, args []string) error {
	f := a.flags("cp", cpHelp)
	mode := f.String("mode", "644", "")
	uid := f.Int("uid", 0, "")
	gid := f.Int("gid", 0, "")
	if err := f.parse(args, 2); err != nil {
		return err
	}
	if f.NArg() < 2 {
		return &usageError{"the following required arguments were not provided:\n  <SRC> <DST>"}
	}
	bits, err := strconv.ParseUint(*mode, 8, 12)
	if err != nil {
		return &usageError{fmt.Sprintf("invalid value '%s' for '--mode <MODE>': expected an octal number", *mode)}
	}
	// smolvm looks for the first colon, in SRC first: a local path with one is a machine.
	if name, path, ok := strings.Cut(f.Arg(0), ":"); ok {
		return a.download(ctx, name, path, f.Arg(1))
	}
	if name, path, ok := strings.Cut(f.Arg(1), ":"); ok {
		file := &wire.File{Path: path, Mode: uint32(bits), UID: *uid, GID: *gid}
		return a.upload(ctx, f.Arg(0), name, file)
	}
	return errors.New("one of SRC and DST must be NAME:PATH")
}

func (a *App) upload(ctx context.Context, local, name string, file *wire.File) error {
	source, err := os.Open(local)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	info, err := source.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: not a regular file", local)
	case info.Size() > maxFile:
		return fmt.Errorf("%s: file exceeds the %d byte transfer limit", local, int64(maxFile))
	}
	c, err := a.converse(ctx, name, wire.Request{Op: wire.OpPut, File: file})
	if err != nil {
		return err
	}
	defer c.done()
	sent := make(chan error, 1)
	go func() {
		err := c.send(source)
		if errors.Is(err, errReading) {
			c.done() // the guest must not take a part for the whole
		}
		sent <- err
	}()
	err = finishCopy(c, io.Discard)
	c.done()
	if sendErr := <-sent; errors.Is(sendErr, errReading) {
		return sendErr
	}
	return err
}

// download never leaves a part of a file: the destination changes at the end, by rename.
func (a *App) download(ctx context.Context, name, path, local string) (err error) {
	if info, err := os.Stat(local); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file", local)
	}
	c, err := a.converse(ctx, name, wire.Request{Op: wire.OpGet, File: &wire.File{Path: path}})
	if err != nil {
		return err
	}
	defer c.done()
	temp, err := os.CreateTemp(filepath.Dir(local), "."+filepath.Base(local)+"-")
	if err != nil {
		return err
	}
	defer func() {
		_ = temp.Close()
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	left := maxFile
	limit := &limited{temp, &left, fmt.Errorf("file exceeds the %d byte transfer limit", int64(maxFile))}
	if err := finishCopy(c, limit); err != nil {
		return err
	}
	if err := errors.Join(temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), local)
}

func finishCopy(c *conversation, out io.Writer) error {
	exit, err := c.receive(out, io.Discard)
	if err != nil {
		return fmt.Errorf("agent operation failed: cp: %w", err)
	}
	if exit.Error != "" {
		return fmt.Errorf("agent operation failed: cp: %s", printable(exit.Error))
	}
	return nil
}
