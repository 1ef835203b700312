// Package walk lists a directory as git would without a git: what a .gitignore excludes is
// left out. The guest's half of copy-out uses it too, so it starts no program.
package walk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/pathcheck"
)

// Ignored is the reason of what a .gitignore leaves out.
const Ignored = "ignored by .gitignore"

// maxIgnoreFile bounds a .gitignore.
const maxIgnoreFile = 1 << 20

// Walk lists the files and links below a root that no .gitignore excludes, in order, and
// what it left out. A directory is entered only as one: no link is followed.
func Walk(root *os.Root, limit int) (paths []string, skipped []workspace.Excluded, err error) {
	w := &walker{root: root, limit: limit}
	if err := w.dir(".", nil); err != nil {
		return nil, nil, err
	}
	slices.Sort(w.paths)
	return w.paths, w.skipped, nil
}

type walker struct {
	root    *os.Root
	limit   int
	paths   []string
	skipped []workspace.Excluded
}

func (w *walker) skip(name, why string) error {
	w.skipped = append(w.skipped, workspace.Excluded{Path: workspace.Name(name), Why: why})
	return w.bounded()
}

func (w *walker) bounded() error {
	if len(w.paths)+len(w.skipped) > w.limit {
		return fmt.Errorf("more than %d files", w.limit)
	}
	return nil
}

func (w *walker) dir(dir string, patterns []gitignore.Pattern) error {
	file, err := w.root.Open(dir)
	if err != nil {
		return err
	}
	entries, err := file.ReadDir(-1)
	_ = file.Close()
	if err != nil {
		return err
	}
	// One backing array for each directory: siblings must not see each other's patterns.
	own, err := readIgnore(w.root, dir)
	if err != nil {
		return err
	}
	patterns = slices.Concat(patterns, own)
	matcher := gitignore.NewMatcher(patterns)
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		if err := w.entry(name, entry.Type(), matcher, patterns); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(name string, mode fs.FileMode, matcher gitignore.Matcher, patterns []gitignore.Pattern) error {
	if err := pathcheck.Check(name); err != nil {
		if path.Base(name) == ".git" && !strings.Contains(name, "/") {
			return nil // the top's own, of which everybody knows
		}
		return w.skip(name, err.Error())
	}
	if len(patterns) > 0 && matcher.Match(strings.Split(name, "/"), mode.IsDir()) {
		return w.skip(name, Ignored)
	}
	switch {
	case mode.IsDir():
		err := w.dir(name, patterns)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	case mode.IsRegular(), mode&fs.ModeSymlink != 0:
		w.paths = append(w.paths, name)
		return w.bounded()
	default:
		return w.skip(name, KindName(mode))
	}
}

// KindName says what a mode is that is neither a file nor a link.
func KindName(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeDevice != 0:
		return "a device"
	case mode.IsDir():
		return "a directory of its own"
	}
	return "neither a file nor a link"
}

// readIgnore reads a directory's .gitignore, if it is a file.
func readIgnore(root *os.Root, dir string) ([]gitignore.Pattern, error) {
	name := path.Join(dir, ".gitignore")
	if info, err := root.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return nil, nil // most directories have none
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxIgnoreFile))
	if err != nil {
		return nil, err
	}
	var domain []string
	if dir != "." {
		domain = strings.Split(dir, "/")
	}
	var patterns []gitignore.Pattern
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxIgnoreFile+1)
	for lines.Scan() {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, gitignore.ParsePattern(line, domain))
		}
	}
	return patterns, lines.Err()
}
