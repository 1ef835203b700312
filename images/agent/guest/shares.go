//go:build linux

package main

import (
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// shareTime bounds a look at a shared directory.
const shareTime = 2 * time.Second

// mountShare mounts a directory that the host shares where nobody else sees it, and writes
// there if it is to. Its thread, and the namespace with it, ends with the goroutine.
func mountShare(tag string, write bool) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		result <- inOwnNamespace(tag, write)
	}()
	select {
	case err := <-result:
		return err
	case <-time.After(shareTime):
		return os.ErrDeadlineExceeded
	}
}

func inOwnNamespace(tag string, write bool) error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "share-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(dir) }()
	if err := unix.Mount(tag, dir, "virtiofs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	if !write {
		return nil
	}
	file, err := os.CreateTemp(dir, ".bottle-probe-")
	if err != nil {
		return err
	}
	_ = os.Remove(file.Name())
	return file.Close()
}
