package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/pathcheck"
)

// journal is what an apply is about to do, in this order.
type journal struct {
	Ops []Op `json:"ops"`
	// Early is how many of the ops are deletions that make room for others: a file where a
	// directory comes, or a directory where a file does. The other deletions are last.
	Early int `json:"early"`
	// Dirs are the directories that are made on the way.
	Dirs []workspace.Name `json:"dirs,omitempty"`
}

func newJournal(ops []Op) journal {
	taken, below := map[string]bool{}, map[string]bool{}
	for _, op := range ops {
		if op.After.Kind == workspace.Absent {
			continue
		}
		taken[string(op.Path)] = true
		for dir := path.Dir(string(op.Path)); dir != "."; dir = path.Dir(dir) {
			below[dir] = true
		}
	}
	makesRoom := func(name string) bool {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if taken[dir] {
				return true
			}
		}
		return below[name]
	}
	var early, middle, late []Op
	for _, op := range ops {
		switch {
		case op.After.Kind != workspace.Absent:
			middle = append(middle, op)
		case makesRoom(string(op.Path)):
			early = append(early, op)
		default:
			late = append(late, op)
		}
	}
	return journal{Ops: slices.Concat(early, middle, late), Early: len(early)}
}

// check refuses what no copy-out would do. A journal is a file in a directory of the user's,
// so it is not believed either.
func (j journal) check() error {
	for _, dir := range j.Dirs {
		if err := pathcheck.Check(string(dir)); err != nil {
			return fmt.Errorf("refused %s: %w", dir.Show(), err)
		}
	}
	for _, op := range j.Ops {
		if err := pathcheck.Check(string(op.Path)); err != nil {
			return fmt.Errorf("refused %s: %w", op.Path.Show(), err)
		}
		if op.After.Kind == workspace.Link {
			if err := pathcheck.CheckLink(string(op.Path), string(op.After.Target)); err != nil {
				return fmt.Errorf("refused %s: %w", op.Path.Show(), err)
			}
		}
	}
	return nil
}

func (j *job) writeJournal(plan journal) error {
	text, err := json.Marshal(plan)
	if err != nil {
		return err
	}
	const half = journalFile + ".half"
	file, err := j.work.OpenFile(half, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := j.Step("name the journal"); err != nil {
		return err
	}
	if err := j.work.Rename(half, journalFile); err != nil {
		return err
	}
	return errors.Join(syncDir(j.work), syncDir(j.root))
}

// readJournal returns false if there is none yet: then nothing has been changed.
func (j *job) readJournal() (plan journal, found bool, err error) {
	file, err := j.work.Open(journalFile)
	if errors.Is(err, fs.ErrNotExist) {
		return plan, false, nil
	}
	if err != nil {
		return plan, false, err
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		return plan, false, err
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		return plan, false, fmt.Errorf("reading the journal: %w", err)
	}
	return plan, true, plan.check()
}

func syncDir(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// dirsOf are the directories of deleted paths, the deepest first.
func dirsOf(ops []Op) []string {
	dirs := map[string]bool{}
	for _, op := range ops {
		if op.After.Kind != workspace.Absent {
			continue
		}
		for dir := path.Dir(string(op.Path)); dir != "."; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	sorted := make([]string, 0, len(dirs))
	for dir := range dirs {
		sorted = append(sorted, dir)
	}
	slices.SortFunc(sorted, func(a, b string) int { return strings.Compare(b, a) })
	return sorted
}
