package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/workspace"
)

// commit changes the names.
func (j *job) commit(ctx context.Context, plan journal) error {
	for i, op := range plan.Ops {
		if i == plan.Early {
			if err := j.prune(plan.Ops[:i]); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := j.do(strconv.Itoa(i), op); err != nil {
			return fmt.Errorf("changing %s: %w", op.Path.Show(), err)
		}
	}
	if err := j.prune(plan.Ops); err != nil {
		return err
	}
	if err := j.Step("flush the names"); err != nil {
		return err
	}
	if err := flush(j.lock); err != nil {
		return fmt.Errorf("flushing: %w", err)
	}
	if err := j.Step("end the journal"); err != nil {
		return err
	}
	if err := j.work.Rename(journalFile, doneFile); err != nil {
		return err
	}
	return syncDir(j.work)
}

// do moves aside what is there, compares it, and puts the new in its place.
func (j *job) do(number string, op Op) error {
	dir, base, err := j.parent(string(op.Path), func(made string) error { return j.Step("make the directory " + made) })
	if err != nil {
		return err
	}
	defer j.leave(dir)
	if op.Before.Kind != workspace.Absent {
		if err := j.Step("move aside " + string(op.Path)); err != nil {
			return err
		}
		if err := move(dir, base, j.old, number); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return &MeanwhileError{Path: op.Path}
			}
			return err
		}
		if was, err := workspace.LookIn(j.old, number); err != nil || was != op.Before {
			return errors.Join(&MeanwhileError{Path: op.Path}, err)
		}
	}
	if op.After.Kind == workspace.Absent {
		return nil
	}
	if err := j.Step("put in place " + string(op.Path)); err != nil {
		return err
	}
	if op.After.Kind == workspace.Link {
		err = dir.Symlink(string(op.After.Target), base)
	} else {
		err = place(j.new, number, dir, base)
	}
	if errors.Is(err, fs.ErrExist) {
		return &MeanwhileError{Path: op.Path}
	}
	return err
}

// prune removes directories that deletions have emptied.
func (j *job) prune(ops []Op) error {
	for _, name := range dirsOf(ops) {
		dir, base, err := j.parent(name, nil)
		if err != nil {
			continue // gone with what was above it, or not a directory any more
		}
		if info, err := dir.Lstat(base); err == nil && info.IsDir() && isEmpty(dir, base) {
			if err := j.Step("remove the directory " + name); err != nil {
				j.leave(dir)
				return err
			}
			_ = dir.Remove(base) // if somebody filled it meanwhile, it stays
		}
		j.leave(dir)
	}
	return nil
}

func isEmpty(dir *os.Root, base string) bool {
	file, err := dir.Open(base)
	if err != nil {
		return false
	}
	defer file.Close()
	names, err := file.Readdirnames(1)
	return len(names) == 0 && err != nil
}

// move renames between two open directories.
func move(from *os.Root, a string, to *os.Root, b string) error {
	return between(from, to, func(fromFD, toFD int) error { return unix.Renameat(fromFD, a, toFD, b) })
}

// place gives a file a name that nothing has: unlike a rename, a link never overwrites. It
// leaves the first name, by which a rollback knows the file.
func place(from *os.Root, a string, to *os.Root, b string) error {
	err := between(from, to, func(fromFD, toFD int) error { return unix.Linkat(fromFD, a, toFD, b, 0) })
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// A file system without links: look first, then rename.
	if _, err := to.Lstat(b); err == nil {
		return fs.ErrExist
	}
	return move(from, a, to, b)
}

func between(from, to *os.Root, do func(fromFD, toFD int) error) error {
	a, err := from.Open(".")
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := to.Open(".")
	if err != nil {
		return err
	}
	defer b.Close()
	return do(int(a.Fd()), int(b.Fd()))
}
