package link

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"bottle.internal/internal/ownsock"
)

// listenUnix creates a socket that only its owner can connect to, in a directory that only
// its owner can enter.
func listenUnix(ctx context.Context, path string, peerUID int) (*net.UnixListener, error) {
	if len(path) > ownsock.MaxPath {
		return nil, fmt.Errorf("the path has %d bytes, a socket allows %d", len(path), ownsock.MaxPath)
	}
	if err := checkDir(filepath.Dir(path), peerUID); err != nil {
		return nil, err
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	listener, err := ownsock.Listen(ctx, path)
	if err != nil {
		return nil, err
	}
	if peerUID != 0 {
		if err := os.Lchown(path, peerUID, -1); err != nil {
			return nil, errors.Join(err, listener.Close())
		}
	}
	return listener, nil
}

// checkDir wants a real directory of ours (or of the peer's) that nobody else can enter.
func checkDir(dir string, peerUID int) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case info.Mode().Perm() != 0o700:
		return fmt.Errorf("%s has mode %04o, it must be 0700", dir, info.Mode().Perm())
	case !ok || !ours(int(stat.Uid), peerUID):
		return fmt.Errorf("%s belongs to another user", dir)
	}
	return nil
}

func ours(uid, peerUID int) bool {
	return uid == os.Geteuid() || (peerUID != 0 && uid == peerUID)
}

// removeStale makes way for a new socket where a killed process left one.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("the path is taken by something that is no socket")
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return errors.New("another process listens there")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// peerAllowed asks the kernel who connected, where it knows.
func peerAllowed(conn Conn, allowed func(uid int) bool) bool {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return false
	}
	known := false
	err = raw.Control(func(fd uintptr) {
		uid, err := peerUIDOf(int(fd))
		known = err == nil && allowed(uid)
	})
	return err == nil && known
}
