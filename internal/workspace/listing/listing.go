// Package listing decides what of a directory on the host goes into a guest.
//
// Invariants: nothing is read through a link; credentials by name stay out unless they are
// asked for by name; what is left out is listed with the reason; the host's git runs on the
// host's own repository only, without the user's or the system's configuration, without
// hooks, monitors or a network.
package listing

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bottle.internal/internal/bytesize"
	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/pathcheck"
	"bottle.internal/internal/workspace/walk"
)

// Options say what is wanted.
type Options struct {
	Include []string // patterns of credentials that go in all the same
	History string   // HistoryHead or HistoryNone
	Limits  workspace.Limits
	Git     string // the program; empty: there is none
	Path    string // PATH for it
}

// How much of a repository's history goes in.
const (
	HistoryHead = "head"
	HistoryNone = "none"
)

// File is one that goes in.
type File struct {
	Path string
	workspace.State
}

// Listing is what goes in and what does not.
type Listing struct {
	Dir      string
	Files    []File
	Excluded []workspace.Excluded
	Bytes    int64
	Git      *Repository // nil: no history goes in
	Notes    []string    // what the operator should know
}

// Scan lists a directory.
func Scan(ctx context.Context, dir string, options Options) (Listing, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Listing{}, fmt.Errorf("opening the workspace: %w", err)
	}
	defer root.Close()
	l := Listing{Dir: dir}
	if info, err := root.Lstat(workspace.ApplyDir); err == nil && info.IsDir() {
		return l, &UnfinishedError{Dir: dir}
	}
	g := newGit(dir, options)
	var paths []string
	if inside, err := g.inWorkTree(ctx); err != nil {
		return l, err
	} else if inside {
		if paths, err = g.list(ctx); err != nil {
			return l, err
		}
		if l.Excluded, err = g.ignored(ctx); err != nil {
			return l, err
		}
		if options.History == HistoryHead {
			if l.Git, l.Notes, err = g.repository(ctx); err != nil {
				return l, err
			}
		}
	} else if paths, l.Excluded, err = walk.Walk(root, options.Limits.Files*10); err != nil {
		return l, fmt.Errorf("listing %s: %w", dir, err)
	}
	j := judge{root: root, secrets: pathcheck.NewGlobs(pathcheck.SecretNames()), include: pathcheck.NewGlobs(options.Include)}
	for _, name := range paths {
		if err := l.take(j, name); err != nil {
			return l, err
		}
	}
	if l.Git != nil && len(l.Excluded) > 0 {
		if err := g.markCommitted(ctx, l.Excluded); err != nil {
			return l, err
		}
		l.warnOfHistory()
	}
	err = l.bounded(options.Limits)
	return l, err
}

func (l *Listing) take(j judge, name string) error {
	state, why, err := j.judge(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // git knows it, the work tree has it no more
	case err != nil:
		return fmt.Errorf("looking at %s: %w", workspace.Name(name).Show(), err)
	case why != "":
		l.Excluded = append(l.Excluded, workspace.Excluded{Path: workspace.Name(name), Why: why})
	default:
		l.Files = append(l.Files, File{name, state})
		l.Bytes += state.Size
	}
	return nil
}

// warnOfHistory: what is left out of the files may be in the commits.
func (l *Listing) warnOfHistory() {
	count := 0
	for _, excluded := range l.Excluded {
		if excluded.Committed && strings.HasPrefix(excluded.Why, secretReason) {
			count++
		}
	}
	if count > 0 {
		l.Notes = append(l.Notes, fmt.Sprintf("%d of the excluded files are in the commits that go in: the agent can read them there (--copy-in-history=none keeps the commits out)", count))
	}
}

type judge struct {
	root             *os.Root
	secrets, include pathcheck.Globs
}

// maxLooked bounds the look into a file for a credential.
const maxLooked = 1 << 20

const secretReason = "credentials by name"

// judge returns a path's state, or why it stays out.
func (j judge) judge(name string) (state workspace.State, why string, err error) {
	name = strings.TrimSuffix(name, "/") // git's mark of a repository inside
	info, err := j.root.Lstat(name)
	if err != nil {
		return state, "", err
	}
	if err := pathcheck.Check(name); err != nil {
		return state, err.Error(), nil //nolint:nilerr // that is the reason
	}
	if why, err := j.secret(name, info); why != "" || err != nil {
		return state, why, err
	}
	switch {
	case info.Mode().IsRegular():
		return workspace.State{Kind: workspace.File, Exec: workspace.IsExec(info.Mode()), Size: info.Size()}, "", nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := j.root.Readlink(name)
		if err != nil {
			return state, "", err
		}
		if err := pathcheck.CheckLink(name, target); err != nil {
			return state, err.Error(), nil //nolint:nilerr // that is the reason
		}
		return workspace.State{Kind: workspace.Link, Target: workspace.Name(target)}, "", nil
	case info.IsDir():
		return state, "a git repository of its own", nil
	}
	return state, walk.KindName(info.Mode()), nil
}

func (j judge) secret(name string, info fs.FileInfo) (why string, err error) {
	pattern, found := j.secrets.Match(name)
	if !found && filepath.Base(name) == ".npmrc" && info.Mode().IsRegular() {
		found, err = j.contains(name, "_auth", "_password")
		pattern = ".npmrc with a credential"
	}
	if err != nil || !found {
		return "", err
	}
	if _, wanted := j.include.Match(name); wanted {
		return "", nil
	}
	return secretReason + " (" + pattern + ")", nil
}

// contains looks into a small file.
func (j judge) contains(name string, words ...string) (bool, error) {
	file, err := j.root.Open(name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxLooked))
	return slices.ContainsFunc(words, func(word string) bool { return bytes.Contains(bytes.ToLower(text), []byte(word)) }), err
}

// bounded refuses what is too much, and says where it is.
func (l *Listing) bounded(limits workspace.Limits) error {
	if len(l.Files) <= limits.Files && l.Bytes <= limits.Bytes {
		return nil
	}
	return &TooMuchError{Dir: l.Dir, Files: len(l.Files), Bytes: l.Bytes, Limits: limits, Biggest: l.Biggest(5)}
}

// Dir is a directory at the top with what is below it.
type Dir struct {
	Path  workspace.Name `json:"path"`
	Files int            `json:"files"`
	Bytes int64          `json:"bytes"`
}

// Biggest are the directories at the top, the biggest first.
func (l *Listing) Biggest(count int) []Dir {
	dirs := map[string]*Dir{}
	for _, file := range l.Files {
		top, _, inDir := strings.Cut(file.Path, "/")
		if !inDir {
			top = "."
		}
		if dirs[top] == nil {
			dirs[top] = &Dir{Path: workspace.Name(top)}
		}
		dirs[top].Files++
		dirs[top].Bytes += file.Size
	}
	sorted := make([]Dir, 0, len(dirs))
	for _, dir := range dirs {
		sorted = append(sorted, *dir)
	}
	slices.SortFunc(sorted, func(a, b Dir) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Files, a.Files), cmp.Compare(a.Path, b.Path))
	})
	return sorted[:min(count, len(sorted))]
}

// TooMuchError says that a directory is beyond the limits.
type TooMuchError struct {
	Dir     string
	Files   int
	Bytes   int64
	Limits  workspace.Limits
	Biggest []Dir
}

func (e *TooMuchError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s is too much for a bottle: %d files, %s (at most %d files, %s)",
		e.Dir, e.Files, bytesize.Of(e.Bytes), e.Limits.Files, bytesize.Of(e.Limits.Bytes))
	for _, dir := range e.Biggest {
		fmt.Fprintf(&text, "\n  %-24s %d files, %s", dir.Path.Show(), dir.Files, bytesize.Of(dir.Bytes))
	}
	return text.String()
}

// HintLines says what helps.
func (e *TooMuchError) HintLines() []string {
	return []string{"echo DIRECTORY/ >>.gitignore   # what the agent does not need", "--copy-in a directory below"}
}

// UnfinishedError says that a copy-out into the directory was cut short.
type UnfinishedError struct{ Dir string }

func (e *UnfinishedError) Error() string {
	return e.Dir + ": a copy-out into it was cut short, or is going on"
}

// HintLines says how to end it.
func (e *UnfinishedError) HintLines() []string { return []string{"bottle copy-out --recover " + e.Dir} }
