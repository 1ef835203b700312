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
)

// ListenUnix and DialUnix work for a path of any length: the kernel's limit of 107
// bytes is met by naming the directory through a descriptor.

// ListenUnix makes a socket of mode 0600, replacing what a dead process left there.
func ListenUnix(ctx context.Context, path string) (net.Listener, error) {
	var listener net.Listener
	err := withShortPath(path, func(short string) error {
		_ = os.Remove(short)
		var config net.ListenConfig
		var err error
		if listener, err = config.Listen(ctx, "unix", short); err != nil {
			return err
		}
		// The short name means something else, or nothing, once we return.
		listener.(*net.UnixListener).SetUnlinkOnClose(false) //nolint:forcetypeassert // "unix" gives nothing else
		return os.Chmod(short, 0o600)
	})
	if err != nil {
		if listener != nil {
			_ = listener.Close()
		}
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
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
