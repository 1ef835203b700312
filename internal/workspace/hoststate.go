package workspace

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// NoDirectoryError says that what should be a path's directory is a file or a link.
type NoDirectoryError struct{ Path Name }

func (e *NoDirectoryError) Error() string { return e.Path.Show() + " is no directory" }

// Look returns what is at a path below root, without following a link anywhere.
func Look(root *os.Root, name string) (State, error) {
	dir, base := root, name
	for {
		first, rest, more := strings.Cut(base, "/")
		if !more {
			break
		}
		next, err := Enter(dir, first)
		if dir != root {
			_ = dir.Close()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return State{}, nil
		case err != nil:
			return State{}, err
		}
		dir, base = next, rest
	}
	if dir != root {
		defer dir.Close()
	}
	return LookIn(dir, base)
}

// Enter opens a directory in dir, and never what a link leads to: not even if the
// directory becomes one at this moment.
func Enter(dir *os.Root, component string) (*os.Root, error) {
	before, err := dir.Lstat(component)
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, &NoDirectoryError{Name(component)}
	}
	next, err := dir.OpenRoot(component)
	if err != nil {
		return nil, err
	}
	after, err := next.Stat(".")
	if err != nil || !os.SameFile(before, after) {
		return nil, errors.Join(&NoDirectoryError{Name(component)}, err, next.Close())
	}
	return next, nil
}

// LookIn returns what is at a name in dir.
func LookIn(dir *os.Root, base string) (State, error) {
	if strings.Contains(base, "/") || path.Clean(base) != base {
		return State{}, fmt.Errorf("no single name: %q", base)
	}
	info, err := dir.Lstat(base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return State{}, nil
	case err != nil:
		return State{}, err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := dir.Readlink(base)
		return State{Kind: Link, Target: Name(target)}, err
	case info.IsDir():
		return State{Kind: Dir}, nil
	case !info.Mode().IsRegular():
		return State{Kind: Other}, nil
	}
	// A pipe that takes the file's place now must not hang us.
	file, err := dir.OpenFile(base, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return State{}, err
	}
	defer file.Close()
	if now, err := file.Stat(); err != nil || !os.SameFile(info, now) {
		return State{}, errors.Join(fmt.Errorf("%s changed while it was looked at", Name(base).Show()), err)
	}
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return State{}, err
	}
	return State{Kind: File, Exec: IsExec(info.Mode()), Size: size, Sum: hex.EncodeToString(sum.Sum(nil))}, nil
}
