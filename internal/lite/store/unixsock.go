//go:build linux

package store

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/ownsock"
)

// ListenUnix and DialUnix work for a path of any length: the kernel's limit of 107
// bytes is met by naming the directory through a descriptor.

// ListenUnix makes a socket of mode 0600, replacing what a dead process left there.
func ListenUnix(ctx context.Context, path string) (net.Listener, error) {
	var listener *net.UnixListener
	err := withShortPath(path, func(short string) (err error) {
		_ = os.Remove(short)
		listener, err = ownsock.Listen(ctx, short)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	// The short name means something else, or nothing, by now.
	listener.SetUnlinkOnClose(false)
	return listener, nil
}

// DialUnix connects to a socket.
func DialUnix(ctx context.Context, path string) (*net.UnixConn, error) {
	var conn net.Conn
	err := withShortPath(path, func(short string) error {
		var dialer net.Dialer
		var err error
		conn, err = dialer.DialContext(ctx, "unix", short)
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil //nolint:forcetypeassert // "unix" gives nothing else
}

func withShortPath(path string, use func(string) error) error {
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	defer func() { _ = unix.Close(dir) }()
	return use("/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path))
}
