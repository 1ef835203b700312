//go:build linux

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

var (
	// ErrNotFound is returned for a machine that does not exist.
	ErrNotFound = errors.New("vm not found")
	// ErrExists is returned by Create.
	ErrExists = errors.New("machine already exists")
	// ErrBusy is returned by Lock while somebody starts or runs the machine.
	ErrBusy = errors.New("another process is already starting or running this VM")
)

// tempPrefix marks directories that are not machines: half made or half deleted. No
// machine's name begins with a dot.
const tempPrefix = "."

// Store is the directory of all machines of a user.
type Store struct{ root string }

// New uses dir, which holds one directory per machine and is created when needed.
func New(dir string) *Store { return &Store{root: dir} }

// Create makes a machine. fill puts the disks into the directory before it gets its name.
func (s *Store) Create(r Record, fill func(Dir) error) (err error) {
	if err := os.MkdirAll(s.root, 0o700); err != nil {
		return err
	}
	s.sweep()
	final := filepath.Join(s.root, r.Name)
	if _, err := os.Lstat(final); err == nil {
		return ErrExists // before the work; the rename below decides
	}
	temp, err := os.MkdirTemp(s.root, tempPrefix+"new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(temp)
		}
	}()
	lock, err := lockPath(filepath.Join(temp, lockFile))
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	r.CreatedAt = now()
	if err := writeJSON(filepath.Join(temp, recordFile), r); err != nil {
		return err
	}
	if err := fill(Dir(temp)); err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, final, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		return ErrExists
	}
	return err
}

// Open returns the directory of a machine.
func (s *Store) Open(name string) (Dir, error) {
	if ValidateName(name) != nil {
		return "", ErrNotFound
	}
	dir := Dir(filepath.Join(s.root, name))
	if _, err := os.Stat(dir.Path(recordFile)); errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotFound
	} else if err != nil {
		return "", err
	}
	return dir, nil
}

// Names lists the machines, sorted.
func (s *Store) Names() ([]string, error) {
	entries, err := os.ReadDir(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing machines: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && ValidateName(entry.Name()) == nil {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Remove deletes a machine whose lock the caller holds.
func (s *Store) Remove(d Dir) error {
	temp, err := os.MkdirTemp(s.root, tempPrefix+"del-")
	if err != nil {
		return err
	}
	if err := os.Rename(string(d), filepath.Join(temp, "machine")); err != nil {
		_ = os.Remove(temp)
		return err
	}
	return os.RemoveAll(temp)
}

// sweep removes what crashed commands left. A half made machine is somebody's work in
// progress as long as its lock is held.
func (s *Store) sweep() {
	entries, _ := os.ReadDir(s.root)
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), tempPrefix) {
			continue
		}
		path := filepath.Join(s.root, entry.Name())
		info, err := entry.Info()
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue // between MkdirTemp and the lock
		}
		if lock, err := lockPath(filepath.Join(path, lockFile)); err == nil {
			_ = os.RemoveAll(path)
			_ = lock.Close()
		}
	}
}

// Lock takes the machine's lock without waiting.
func (d Dir) Lock() (*os.File, error) {
	path := d.Path(lockFile)
	lock, err := lockPath(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if !stillNamed(lock, path) { // deleted, and perhaps created anew, between our open and our lock
		_ = lock.Close()
		return nil, ErrNotFound
	}
	return lock, nil
}

func stillNamed(file *os.File, path string) bool {
	ours, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(ours, named)
}

// LockWait waits for the lock until ctx ends.
func (d Dir) LockWait(ctx context.Context) (*os.File, error) {
	for {
		lock, err := d.Lock()
		if !errors.Is(err, ErrBusy) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, ErrBusy
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// lockPath opens or creates a lock file in an existing directory and locks it. The
// lock lives as long as any descriptor that was made from this open.
func lockPath(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err == nil {
		lockErr := raw.Control(func(fd uintptr) { err = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
		err = errors.Join(err, lockErr)
	}
	if err != nil {
		_ = file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrBusy
		}
		return nil, err
	}
	return file, nil
}

// LockFile takes a lock that is not a machine's, waiting for it until ctx ends.
func LockFile(ctx context.Context, path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	for {
		lock, err := lockPath(path)
		if !errors.Is(err, ErrBusy) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s: %w", filepath.Base(path), context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
