package apply

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"bottle.internal/internal/workspace"
)

// Outcome says what a recovery found.
type Outcome string

// The outcomes.
const (
	Nothing    Outcome = ""            // no apply was cut short
	Completed  Outcome = "completed"   // everything was in place already
	RolledBack Outcome = "rolled back" // the directory is as it was before
)

// Recover ends an apply that was cut short.
func Recover(dir string) (Outcome, error) {
	j, err := open(Request{Dir: dir, Step: func(string) error { return nil }})
	if err != nil {
		return Nothing, err
	}
	defer j.close()
	return j.recover()
}

func (j *job) recover() (Outcome, error) {
	info, err := j.root.Lstat(workspace.ApplyDir)
	if errors.Is(err, fs.ErrNotExist) {
		return Nothing, nil
	}
	if err != nil {
		return Nothing, err
	}
	// One that came with a repository is not ours: git cannot give a directory this mode.
	if !info.IsDir() || info.Mode().Perm() != 0o700 {
		return Nothing, &ForeignError{Path: path.Join(j.Dir, workspace.ApplyDir)}
	}
	outcome, err := j.finish()
	if err != nil {
		return Nothing, fmt.Errorf("ending the copy-out that was cut short in %s: %w", j.Dir, err)
	}
	for _, root := range []**os.Root{&j.work, &j.new, &j.old} {
		if *root != nil {
			_ = (*root).Close()
			*root = nil
		}
	}
	return outcome, nil
}

func (j *job) finish() (Outcome, error) {
	if err := j.openWork(false); err != nil {
		if j.work == nil || !errors.Is(err, fs.ErrNotExist) {
			return Nothing, err
		}
		return RolledBack, j.root.RemoveAll(workspace.ApplyDir) // it had hardly begun, or had ended
	}
	if _, err := j.work.Lstat(doneFile); err == nil {
		return Completed, j.root.RemoveAll(workspace.ApplyDir)
	}
	plan, found, err := j.readJournal()
	if err != nil {
		return Nothing, err
	}
	if !found {
		return RolledBack, j.root.RemoveAll(workspace.ApplyDir)
	}
	return RolledBack, j.rollback(plan)
}

// ForeignError says that something has the name of our directory.
type ForeignError struct{ Path string }

func (e *ForeignError) Error() string {
	return workspace.Name(e.Path).Show() + " is not bottle's: it is left alone"
}

// KeptError says what could not be put back, because something else is there now.
type KeptError struct {
	Dir   string
	Paths []workspace.Name
}

func (e *KeptError) Error() string {
	var text strings.Builder
	text.WriteString("could not put back, because something else took the place; the old files are in " + e.Dir + ":")
	for _, name := range e.Paths {
		text.WriteString("\n  " + name.Show())
	}
	return text.String()
}

// rollback puts everything back, last first. It goes by what it finds on the disk, so it can
// be cut short and begun again.
func (j *job) rollback(plan journal) error {
	kept := &KeptError{Dir: path.Join(j.Dir, workspace.ApplyDir, oldDir)}
	var problems []error
	for i, op := range slices.Backward(plan.Ops) {
		number := strconv.Itoa(i)
		if err := j.takeAway(number, op); err != nil {
			problems = append(problems, err)
		}
	}
	j.removeMade(plan)
	for i, op := range slices.Backward(plan.Ops) {
		err := j.putBack(strconv.Itoa(i), op)
		if errors.Is(err, fs.ErrExist) {
			kept.Paths = append(kept.Paths, op.Path)
		} else if err != nil {
			problems = append(problems, fmt.Errorf("putting back %s: %w", op.Path.Show(), err))
		}
	}
	if len(kept.Paths) > 0 {
		problems = append(problems, kept)
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	return errors.Join(flush(j.lock), j.root.RemoveAll(workspace.ApplyDir))
}

// takeAway removes what the op has put in place, if it has, and nothing else.
func (j *job) takeAway(number string, op Op) error {
	if op.After.Kind == workspace.Absent {
		return nil
	}
	dir, base, err := j.parent(string(op.Path), nil)
	if err != nil {
		return nil // its directory is not there: neither is it
	}
	defer j.leave(dir)
	info, err := dir.Lstat(base)
	if err != nil {
		return nil // it is not there
	}
	if op.Before.Kind != workspace.Absent {
		if _, err := j.old.Lstat(number); err != nil {
			return nil // what is there is the old one
		}
	}
	staged, err := j.new.Lstat(number)
	switch {
	case op.After.Kind == workspace.File && err == nil:
		if !os.SameFile(staged, info) {
			return nil // somebody else's
		}
	default: // a link, or a file system without hard links
		if now, err := workspace.LookIn(dir, base); err != nil || now != op.After {
			return err
		}
	}
	return dir.Remove(base)
}

// putBack moves the old one back into its place.
func (j *job) putBack(number string, op Op) error {
	if _, err := j.old.Lstat(number); err != nil {
		return nil // it was never moved
	}
	dir, base, err := j.parent(string(op.Path), func(string) error { return nil })
	if err != nil {
		return err
	}
	defer j.leave(dir)
	if err := place(j.old, number, dir, base); err != nil && !j.isBack(number, dir, base) {
		return err
	}
	err = j.old.Remove(number)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a file system without hard links has moved it
	}
	return err
}

// isBack reports whether an earlier rollback got as far as the name.
func (j *job) isBack(number string, dir *os.Root, base string) bool {
	old, err := j.old.Lstat(number)
	if err != nil {
		return false
	}
	now, err := dir.Lstat(base)
	return err == nil && os.SameFile(old, now)
}

// removeMade removes the directories that the ops have made, unless something is in them.
func (j *job) removeMade(plan journal) {
	for _, name := range slices.Backward(plan.Dirs) {
		dir, base, err := j.parent(string(name), nil)
		if err != nil {
			continue // it was not made
		}
		if info, err := dir.Lstat(base); err == nil && info.IsDir() {
			_ = dir.Remove(base)
		}
		j.leave(dir)
	}
}
