// Package carry is the guest's half of copy-in and copy-out.
//
// Invariants: everything is below the working directory, through one [os.Root]; a link is
// never followed, neither to write nor to read; files are the agent's. The host believes
// nothing of what Pack says: it checks the stream as anybody's.
package carry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/wire"
)

// Place is the machine.
type Place struct {
	Mark     string                                                                    // the file that keeps the workspace's id
	UID, GID int                                                                       // whose the files are; -1: nobody's in particular, in tests
	Git      func(ctx context.Context, dir string, in io.Reader, args ...string) error // runs git as the agent
}

// TheMachine is the one that a bottle-guest runs in.
func TheMachine() Place {
	return Place{Mark: "/var/lib/bottle-workspace", UID: guestapi.AgentUID, GID: guestapi.AgentGID, Git: func(ctx context.Context, dir string, in io.Reader, args ...string) error {
		return execx.Run(ctx, execx.Cmd{
			Path: "git", Args: args, Dir: dir, Stdin: in, User: &execx.User{UID: guestapi.AgentUID, GID: guestapi.AgentGID},
			Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + guestapi.AgentHome, "LC_ALL=C"},
		})
	}}
}

// bundleName is where the history waits for git to take it.
const bundleName = ".git/bottle.bundle"

// unpackLimits are above the host's, which knows what it sends; they only keep a broken
// stream from filling the disk.
func unpackLimits() workspace.Limits { return workspace.Limits{Files: 1_000_000, Bytes: 16 << 30} }

// Unpack writes what the host sends into the working directory.
func (p Place) Unpack(ctx context.Context, in io.Reader) error {
	stream := wire.NewReader(in, unpackLimits())
	var head wire.Unpack
	if err := stream.Head(&head); err != nil {
		return err
	}
	root, err := os.OpenRoot(head.Workdir)
	if err != nil {
		return fmt.Errorf("opening the working directory: %w", err)
	}
	defer root.Close()
	w := &writer{place: p, root: root, dirs: map[string]bool{".": true}}
	links := map[string]string{} // made last, so that no file can go through one
	for {
		record, err := stream.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch {
		case record.Kind == wire.History && head.Git != nil:
			err = p.history(ctx, head, w, record.Content)
		case record.Kind == wire.Content && record.State.Kind == workspace.Link:
			links[record.Path] = string(record.State.Target)
		case record.Kind == wire.Content:
			err = w.file(record.Path, record.State.Exec, record.Content)
		default:
			err = fmt.Errorf("nothing that is unpacked: %s", record.Kind)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", workspace.Name(record.Path).Show(), err)
		}
	}
	for name, target := range links {
		if err := w.link(name, target); err != nil {
			return fmt.Errorf("%s: %w", workspace.Name(name).Show(), err)
		}
	}
	return os.WriteFile(p.Mark, []byte(head.ID), 0o644)
}

// history makes the repository: the branch at the host's commit, the index as that commit,
// and the files left to the ones that follow.
func (p Place) history(ctx context.Context, head wire.Unpack, w *writer, bundle io.Reader) error {
	branch := head.Git.Branch
	if branch == "" {
		branch = "main" // exists only until HEAD is detached
	}
	if err := p.Git(ctx, head.Workdir, nil, "init", "--quiet", "--initial-branch="+branch); err != nil {
		return err
	}
	w.dirs[".git"] = true
	if err := w.file(bundleName, false, bundle); err != nil {
		return err
	}
	update := []string{"update-ref", "HEAD", "FETCH_HEAD"}
	if head.Git.Branch == "" {
		update = []string{"update-ref", "--no-deref", "HEAD", "FETCH_HEAD"}
	}
	steps := [][]string{{"fetch", "--quiet", "./" + bundleName, "HEAD"}, update, {"read-tree", "HEAD"}}
	if head.Git.Origin != "" {
		steps = append(steps, []string{"remote", "add", "origin", head.Git.Origin})
	}
	for _, step := range steps {
		if err := p.Git(ctx, head.Workdir, nil, step...); err != nil {
			return err
		}
	}
	if len(head.Git.Hidden) > 0 {
		var names strings.Builder
		for _, name := range head.Git.Hidden {
			names.WriteString(string(name) + "\x00")
		}
		// Without this the agent would see them as deleted, and commit that.
		if err := p.Git(ctx, head.Workdir, strings.NewReader(names.String()), "update-index", "-z", "--skip-worktree", "--stdin"); err != nil {
			return err
		}
	}
	return w.root.Remove(bundleName)
}

type writer struct {
	place Place
	root  *os.Root
	dirs  map[string]bool // known to be directories, not links to one
}

func (w *writer) file(name string, exec bool, content io.Reader) error {
	if err := w.makeDir(path.Dir(name)); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if exec {
		mode = 0o755
	}
	file, err := w.create(name, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return w.own(name)
}

// create makes a new file in the place of whatever file or link has its name.
func (w *writer) create(name string, mode fs.FileMode) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	file, err := w.root.OpenFile(name, flags, mode)
	if errors.Is(err, fs.ErrExist) {
		if err := w.root.Remove(name); err != nil {
			return nil, err
		}
		return w.root.OpenFile(name, flags, mode)
	}
	return file, err
}

func (w *writer) link(name, target string) error {
	if err := w.makeDir(path.Dir(name)); err != nil {
		return err
	}
	err := w.root.Symlink(target, name)
	if errors.Is(err, fs.ErrExist) {
		if err := w.root.Remove(name); err != nil {
			return err
		}
		err = w.root.Symlink(target, name)
	}
	if err != nil {
		return err
	}
	return w.own(name)
}

func (w *writer) makeDir(dir string) error {
	if w.dirs[dir] {
		return nil
	}
	if err := w.makeDir(path.Dir(dir)); err != nil {
		return err
	}
	info, err := w.root.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := w.root.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := w.own(dir); err != nil {
			return err
		}
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no directory", workspace.Name(dir).Show())
	}
	w.dirs[dir] = true
	return nil
}

func (w *writer) own(name string) error {
	if w.place.UID < 0 {
		return nil
	}
	return w.root.Lchown(name, w.place.UID, w.place.GID)
}
