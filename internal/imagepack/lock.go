package imagepack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/event"
)

// lockPoll is how often a waiting process asks again: a blocking flock could not be
// cancelled.
const lockPoll = 50 * time.Millisecond

// lock is an exclusive flock. The kernel lets go of it when its owner dies. It owns
// the temporary directories that carry its name.
type lock struct {
	file  *os.File
	paths paths
	name  string
	temp  string
}

func (p paths) lock(name string) string { return filepath.Join(p.locks, name+".lock") }

// tryLock returns an open, locked file, or unix.EWOULDBLOCK in the error.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// acquire waits for a lock, and says so once when it has to.
func (s *Store) acquire(ctx context.Context, image Image, name string) (*lock, error) {
	path := s.paths.lock(name)
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for told := false; ; {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("waiting for a lock: %w", context.Cause(ctx))
		}
		file, err := tryLock(path)
		if err == nil {
			held := &lock{file: file, paths: s.paths, name: name}
			held.note()
			return held, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		if !told {
			told = true
			s.send(ctx, event.Event{Kind: event.Info, Step: "pack", Text: fmt.Sprintf(
				"%s: waiting for %s, which is making the same image", image.Name, lockOwner(path))})
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// note leaves the pid for the message of a waiting process; nothing depends on it.
func (l *lock) note() {
	_ = l.file.Truncate(0)
	_, _ = l.file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
}

func lockOwner(path string) string {
	raw, err := os.ReadFile(path)
	pid := strings.TrimSpace(string(raw))
	if err != nil || pid == "" || len(pid) > 10 || strings.Trim(pid, "0123456789") != "" {
		return "another process"
	}
	return "process " + pid
}

// tempDir is a private directory that goes away with the lock.
func (l *lock) tempDir() (string, error) {
	if l.temp == "" {
		dir, err := os.MkdirTemp(l.paths.packs, "tmp."+l.name+".")
		if err != nil {
			return "", fmt.Errorf("making a temporary directory: %w", err)
		}
		l.temp = dir
	}
	return l.temp, nil
}

// release removes what is temporary and lets go. A file that cannot be removed is
// found by the next sweep.
func (l *lock) release() {
	if l.temp != "" {
		_ = l.paths.remove(filepath.Base(l.temp))
	}
	_ = l.file.Close()
}

// writeJSON replaces a file in the cache in one step.
func (l *lock) writeJSON(path string, value any) error {
	dir, err := l.tempDir()
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, "json-")
	if err != nil {
		return err
	}
	_, err = file.Write(append(raw, '\n'))
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
