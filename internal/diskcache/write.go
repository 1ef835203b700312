// Package diskcache keeps files that are made once and read often: a lock per key,
// and writes that are either whole or not there.
//
// A reader never sees a half written file, a writer that fails or is killed leaves
// nothing that a later writer of the same key does not remove, and two processes that
// want the same key make it once.
package diskcache

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// tempMark is in the name of every file and directory that is not finished.
const tempMark = ".tmp-"

// WriteFile makes path with what fill writes: to a temporary file beside it, flushed
// to the disk, then renamed. If fill fails, path is untouched and nothing is left.
func WriteFile(path string, fill func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+tempMark+"*")
	if err != nil {
		return Explain(err)
	}
	defer func() {
		if err != nil {
			err = Explain(errors.Join(err, file.Close(), os.Remove(file.Name())))
		}
	}()
	if err := fill(file); err != nil {
		return err
	}
	if err := file.Chmod(0o644); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return Publish(file, path)
}

// Publish closes a finished temporary file and gives it its name for good.
func Publish(file *os.File, path string) error {
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename survive a power cut.
func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(handle.Sync(), handle.Close())
}

// Sweep removes what killed writers of path left. The caller holds the lock of path.
func Sweep(path string) error {
	left, err := filepath.Glob(path + tempMark + "*")
	if err != nil {
		return err
	}
	for _, file := range left {
		if err := os.RemoveAll(file); err != nil {
			return err
		}
	}
	return nil
}

// Explain adds to a full disk what a person can do about it. A nil error stays nil.
func Explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w\nfree some space on the disk that holds the cache, or point XDG_CACHE_HOME at another one", err)
	}
	return err
}
