//go:build linux

package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"bottle.internal/internal/lite/wire"
)

// MaxFile bounds one file of cp in either direction, as smolvm does.
const maxFile = 4 << 30

func checkPath(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("guest path must be absolute: %s", path)
	}
	if slices.Contains(strings.Split(path, "/"), "..") {
		return fmt.Errorf("guest path must not contain '..': %s", path)
	}
	return nil
}

// put receives a file. It appears whole or not at all.
func put(conn *wire.Conn, file wire.File) (err error) {
	if err := checkPath(file.Path); err != nil {
		return err
	}
	if info, err := os.Stat(file.Path); err == nil && info.IsDir() {
		return fmt.Errorf("%s: Is a directory", file.Path)
	}
	dir := filepath.Dir(file.Path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, ".smolvm-cp-")
	if err != nil {
		return err
	}
	defer func() {
		_ = temp.Close()
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	if err := receiveFile(conn, temp); err != nil {
		return err
	}
	if err := temp.Chown(file.UID, file.GID); err != nil {
		return err
	}
	if err := temp.Chmod(os.FileMode(file.Mode & 0o777)); err != nil {
		return err
	}
	if file.Mode&0o7000 != 0 { // os.FileMode spells these bits in its own way
		if err := syscall.Fchmod(int(temp.Fd()), file.Mode&0o7777); err != nil {
			return err
		}
	}
	return os.Rename(temp.Name(), file.Path)
}

func receiveFile(conn *wire.Conn, to io.Writer) error {
	for total := int64(0); ; {
		frame, err := conn.Receive()
		if err != nil {
			return err
		}
		switch frame.Kind {
		case wire.KindStdin:
			if total += int64(len(frame.Payload)); total > maxFile {
				return fmt.Errorf("file exceeds the %d byte transfer limit", int64(maxFile))
			}
			if _, err := to.Write(frame.Payload); err != nil {
				return err
			}
			if err := conn.SendAck(len(frame.Payload)); err != nil {
				return err
			}
		case wire.KindStdinEOF:
			return nil
		default:
			return fmt.Errorf("%w: frame %q during cp", wire.ErrProtocol, frame.Kind)
		}
	}
}

// get sends a regular file. It is opened without blocking: a FIFO would wait for ever.
func get(conn *wire.Conn, file wire.File) error {
	if err := checkPath(file.Path); err != nil {
		return err
	}
	source, err := os.OpenFile(file.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	info, err := source.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: not a regular file", file.Path)
	case info.Size() > maxFile:
		return fmt.Errorf("file exceeds the %d byte transfer limit", int64(maxFile))
	}
	buffer := make([]byte, wire.MaxData)
	for {
		n, err := source.Read(buffer)
		if n > 0 {
			if err := conn.Send(wire.KindStdout, buffer[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
