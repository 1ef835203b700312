// Package ownsock makes unix sockets that only their owner can connect to.
//
// Invariants: such a socket never has a wider mode than 0600, not even between bind and a
// chmod, and whatever the umask is; where the system cannot do that, the directory keeps
// others out, or there is no socket. The umask is left alone: it belongs to the whole
// process, and other goroutines create files meanwhile.
package ownsock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// MaxPath is the longest path of a socket that every system can hold: on macOS and the BSDs
// there is room for 104 bytes with the zero at the end. Linux takes a few more, but what works
// on one system shall work on the others.
const MaxPath = 103

const (
	mode  = 0o600
	linux = "linux"
)

// Listen makes a socket at path, where nothing may be.
func Listen(ctx context.Context, path string) (*net.UnixListener, error) {
	return listen(ctx, path, runtime.GOOS)
}

func listen(ctx context.Context, path, system string) (*net.UnixListener, error) {
	listener, err := bind(ctx, path, system)
	if err != nil {
		return nil, err
	}
	if system != linux {
		err = os.Chmod(path, mode)
	}
	if err == nil {
		err = isNarrow(path)
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// bind knows two ways. On Linux a socket gets the mode of its descriptor, as far as the
// umask lets it. Elsewhere every socket is born wide, so its directory must be one that
// nobody else can enter.
func bind(ctx context.Context, path, system string) (*net.UnixListener, error) {
	var config net.ListenConfig
	if system == linux {
		config.Control = narrow
	} else if err := closedToOthers(filepath.Dir(path)); err != nil {
		return nil, err
	}
	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return listener.(*net.UnixListener), nil //nolint:forcetypeassert // "unix" gives nothing else
}

// narrow sets the mode that bind will give to the socket's file.
func narrow(_, _ string, conn syscall.RawConn) error {
	var chmodErr error
	err := conn.Control(func(fd uintptr) { chmodErr = syscall.Fchmod(int(fd), mode) })
	return errors.Join(err, chmodErr)
}

// isNarrow believes nothing but the file: a file system may have ideas of its own.
func isNarrow(path string) error {
	info, err := os.Lstat(path)
	if err == nil && info.Mode().Perm()&^mode != 0 {
		err = fmt.Errorf("the socket %s has mode %04o, not %04o", path, info.Mode().Perm(), mode)
	}
	return err
}

func closedToOthers(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("%s has mode %04o: others could connect to a socket there while it is made", dir, info.Mode().Perm())
	}
	return err
}
