// Package apply writes a copy-out into a directory of the host: all of it or nothing.
//
// Everything new is first written to [workspace.ApplyDir] inside the directory, on the same
// file system, and flushed; a journal says what is about to happen; only then are names
// changed. An error rolls back what was done; a process that is killed leaves the journal,
// and [Recover] rolls back then.
//
// Invariants:
//   - A path is reached component by component, each a directory and no link at the moment
//     of its use ([workspace.Enter]); names are changed relative to the open directory.
//   - What is replaced or deleted is moved aside first and compared then, so what somebody
//     wrote in the last instant is found and put back.
//   - Nothing that appears in the way is overwritten.
//   - One apply at a time: the directory itself is locked.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"bottle.internal/internal/workspace"
)

// Op changes one path.
type Op struct {
	Path   workspace.Name  `json:"path"`
	Before workspace.State `json:"before"` // what must be there
	After  workspace.State `json:"after"`
}

// Request is what to do.
type Request struct {
	Dir  string
	Ops  []Op
	Open func(sum string) (fs.File, error) // the bytes of a file
	// Step is called before each effect with its name; its error is the effect's. Tests
	// end the process, so to speak, in it. Nil: nothing.
	Step func(name string) error
}

// ErrBusy says that another apply works in the directory.
var ErrBusy = errors.New("another copy-out writes into the directory")

// MeanwhileError says that the host changed while the changes were on their way.
type MeanwhileError struct{ Path workspace.Name }

func (e *MeanwhileError) Error() string {
	return e.Path.Show() + " changed on the host in this moment; nothing was written"
}

// HintLines says what to do.
func (e *MeanwhileError) HintLines() []string { return []string{"run the copy-out again"} }

// Names inside ApplyDir.
const (
	newDir      = "new" // what will be, by the op's number
	oldDir      = "old" // what was
	journalFile = "journal"
	doneFile    = "done" // the journal's name once everything is in place
)

// job is one apply or recovery at work.
type job struct {
	Request
	root     *os.Root
	lock     *os.File
	work     *os.Root // ApplyDir
	old, new *os.Root
}

// Apply does all of the request, or nothing.
func Apply(ctx context.Context, request Request) error {
	if request.Step == nil {
		request.Step = func(string) error { return nil }
	}
	j, err := open(request)
	if err != nil {
		return err
	}
	defer j.close()
	if _, err := j.recover(); err != nil {
		return err
	}
	if len(request.Ops) == 0 {
		return nil
	}
	journal, err := j.prepare(ctx)
	if err != nil {
		return errors.Join(err, j.root.RemoveAll(workspace.ApplyDir))
	}
	if err := j.commit(ctx, journal); err != nil {
		return errors.Join(err, j.rollback(journal))
	}
	if err := j.Step("clean up"); err != nil {
		return err
	}
	return j.root.RemoveAll(workspace.ApplyDir)
}

func open(request Request) (*job, error) {
	root, err := os.OpenRoot(request.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	lock, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("%w: %s", ErrBusy, request.Dir)
		}
		return nil, errors.Join(err, lock.Close(), root.Close())
	}
	return &job{Request: request, root: root, lock: lock}, nil
}

func (j *job) close() {
	for _, root := range []*os.Root{j.old, j.new, j.work, j.root} {
		if root != nil {
			_ = root.Close()
		}
	}
	_ = j.lock.Close()
}

// prepare writes everything that will be, and the journal. It changes no name outside of
// ApplyDir.
func (j *job) prepare(ctx context.Context) (journal, error) {
	if err := (journal{Ops: j.Ops}).check(); err != nil {
		return journal{}, err
	}
	plan := newJournal(j.Ops)
	if err := j.Step("make the journal's directory"); err != nil {
		return plan, err
	}
	if err := j.root.Mkdir(workspace.ApplyDir, 0o700); err != nil {
		return plan, err
	}
	if err := j.openWork(true); err != nil {
		return plan, err
	}
	plan.Dirs = j.missing(plan.Ops)
	for i, op := range plan.Ops {
		if ctx.Err() != nil {
			return plan, context.Cause(ctx)
		}
		if err := j.checkHost(op); err != nil {
			return plan, err
		}
		if op.After.Kind != workspace.File {
			continue
		}
		if err := j.Step("stage " + string(op.Path)); err != nil {
			return plan, err
		}
		if err := j.stage(strconv.Itoa(i), op); err != nil {
			return plan, fmt.Errorf("writing %s: %w", op.Path.Show(), err)
		}
	}
	if err := j.Step("flush"); err != nil {
		return plan, err
	}
	if err := flush(j.lock); err != nil {
		return plan, fmt.Errorf("flushing: %w", err)
	}
	if err := j.Step("write the journal"); err != nil {
		return plan, err
	}
	return plan, j.writeJournal(plan)
}

// missing are the directories that the ops will make, the uppermost first.
func (j *job) missing(ops []Op) []workspace.Name {
	var missing []workspace.Name
	seen := map[string]bool{}
	for _, op := range ops {
		if op.After.Kind == workspace.Absent {
			continue
		}
		for i, c := range string(op.Path) {
			dir := string(op.Path)[:i]
			if c != '/' || seen[dir] {
				continue
			}
			seen[dir] = true
			if state, err := workspace.Look(j.root, dir); err != nil || state.Kind != workspace.Dir {
				missing = append(missing, workspace.Name(dir))
			}
		}
	}
	return missing
}

func (j *job) openWork(create bool) error {
	var err error
	if j.work, err = workspace.Enter(j.root, workspace.ApplyDir); err != nil {
		return err
	}
	for _, sub := range []struct {
		name string
		root **os.Root
	}{{newDir, &j.new}, {oldDir, &j.old}} {
		if create {
			if err := j.work.Mkdir(sub.name, 0o700); err != nil {
				return err
			}
		}
		if *sub.root, err = workspace.Enter(j.work, sub.name); err != nil {
			return err
		}
	}
	return nil
}

// stage writes a file's new bytes, and sees that they are the ones that were shown.
func (j *job) stage(name string, op Op) error {
	source, err := j.Open(op.After.Sum)
	if err != nil {
		return err
	}
	defer source.Close()
	perm := fs.FileMode(0o666) // less the umask
	if op.After.Exec {
		perm = 0o777
	}
	file, err := j.new.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(file, sum), source)
	if err == nil && hex.EncodeToString(sum.Sum(nil)) != op.After.Sum {
		err = errors.New("the staged bytes are not those that were shown")
	}
	if err == nil && op.Before.Kind == workspace.File {
		err = j.keepMode(file, op)
	}
	if err == nil && syncEach {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// keepMode gives a file the mode of the one that it replaces, but for the executable bit.
func (j *job) keepMode(file *os.File, op Op) error {
	dir, base, err := j.parent(string(op.Path), nil)
	if err != nil {
		return err
	}
	defer j.leave(dir)
	info, err := dir.Lstat(base)
	if err != nil {
		return err
	}
	mode := info.Mode().Perm() &^ 0o111
	if op.After.Exec {
		mode |= mode & 0o444 >> 2
	}
	return file.Chmod(mode)
}
