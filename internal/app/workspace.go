package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"bottle.internal/internal/bytesize"
	"bottle.internal/internal/event"
	"bottle.internal/internal/excerpt"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/state"
	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/listing"
	"bottle.internal/internal/workspace/wire"
)

// WorkspaceRequest says what is to be copied in.
type WorkspaceRequest struct {
	Dir     string
	Include []string
	History string
	CopyOut bool
}

// maxNamed is how many paths the preflight names for each reason.
const maxNamed = 5

// planWorkspace looks at the directory; nothing is copied yet.
func (a *App) planWorkspace(ctx context.Context, request WorkspaceRequest) (*plan.Workspace, error) {
	w := &plan.Workspace{
		Include: append([]string{}, request.Include...), History: request.History, CopyOut: request.CopyOut,
		Biggest: []string{}, Excluded: []plan.WorkspaceExcluded{}, Notes: []string{},
	}
	var err error
	if w.Dir, err = filepath.EvalSymlinks(a.hostPath(request.Dir)); err != nil {
		return nil, &Problem{Text: "there is no directory to copy in", Err: err, Hints: []string{"--copy-in ."}}
	}
	if info, err := os.Stat(w.Dir); err == nil && !info.IsDir() {
		return nil, &Problem{Text: w.Dir + " is no directory", Hints: []string{"--copy-in " + filepath.Dir(request.Dir)}}
	}
	for _, never := range []string{"/", a.dirs.home, a.state.Dir()} {
		if same(never, w.Dir) {
			return nil, &Problem{Text: w.Dir + " is no workspace", Hints: []string{"--copy-in a project's directory"}}
		}
	}
	found, err := listing.Scan(ctx, w.Dir, a.listingOptions(w))
	if err != nil {
		return nil, err
	}
	w.Files, w.Bytes, w.Notes = len(found.Files), found.Bytes, append(w.Notes, found.Notes...)
	for _, dir := range found.Biggest(3) {
		w.Biggest = append(w.Biggest, fmt.Sprintf("%s %s", dir.Path.Show(), bytesize.Of(dir.Bytes)))
	}
	if found.Git != nil {
		w.Commits = "the commits of " + cmp.Or(found.Git.Branch, "a detached HEAD") + ", " + bytesize.Of(found.Git.Bytes)
	}
	w.Excluded = reasons(found.Excluded)
	return w, nil
}

func (a *App) listingOptions(w *plan.Workspace) listing.Options {
	options := listing.Options{Include: w.Include, History: w.History, Limits: workspace.DefaultLimits(), Path: a.config.getenv("PATH")}
	if program, err := execx.Find("git"); err == nil {
		options.Git = program
	}
	return options
}

// reasons counts by reason, the commonest first.
func reasons(excluded []workspace.Excluded) []plan.WorkspaceExcluded {
	counted := []plan.WorkspaceExcluded{}
	for _, e := range excluded {
		at := slices.IndexFunc(counted, func(c plan.WorkspaceExcluded) bool { return c.Why == e.Why })
		if at < 0 {
			counted, at = append(counted, plan.WorkspaceExcluded{Why: e.Why}), len(counted)
		}
		if counted[at].Count++; len(counted[at].Paths) < maxNamed {
			counted[at].Paths = append(counted[at].Paths, e.Path.Show())
		}
	}
	slices.SortStableFunc(counted, func(a, b plan.WorkspaceExcluded) int { return cmp.Compare(b.Count, a.Count) })
	return counted
}

// fill copies a plan's workspace into its new machine. It looks at the directory again: the
// plan may be some minutes old.
func (a *App) fill(p plan.Plan) func(context.Context, guestexec.Runner) error {
	return func(ctx context.Context, run guestexec.Runner) error {
		instance, err := a.state.Open(names.Identity(p.Identity))
		if err != nil {
			return err
		}
		options := a.listingOptions(p.Workspace)
		found, err := listing.Scan(ctx, p.Workspace.Dir, options)
		if err != nil {
			return err
		}
		c := &copyIn{id: rand.Text(), found: found, options: options, workdir: p.Workdir, base: workspace.Base{}, events: a.events}
		if err := c.run(ctx, run, instance.Dir()); err != nil {
			return fmt.Errorf("copying %s in: %w", p.Workspace.Dir, err)
		}
		return c.record(instance)
	}
}

// copyIn is one copy on its way.
type copyIn struct {
	id      string
	found   listing.Listing
	options listing.Options
	workdir string
	base    workspace.Base
	events  event.Sink
	sent    int64
}

// maxSaid bounds what is quoted of a guest.
const maxSaid = 2000

func (c *copyIn) run(ctx context.Context, run guestexec.Runner, dir string) error {
	bundle, err := c.bundle(ctx, dir)
	if err != nil {
		return err
	}
	if bundle != nil {
		defer func() { _ = bundle.Close() }()
	}
	c.say(ctx, event.Start, fmt.Sprintf("%d files", len(c.found.Files)))
	read, write := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := c.send(ctx, write, bundle)
		_ = write.CloseWithError(err)
		sent <- err
	}()
	said := &excerpt.Tail{Limit: maxSaid}
	code, err := run(ctx, guestexec.Command{Argv: guestapi.UnpackArgs(), Workdir: "/", Root: true}, guestexec.Stdio{Stdin: read, Stdout: io.Discard, Stderr: said})
	_ = read.CloseWithError(errors.New("the guest has stopped reading"))
	sendErr, reason := <-sent, strings.TrimSpace(said.String())
	switch {
	case err != nil:
		return err
	case code != 0 && reason != "":
		return errors.New(reason) // its own reason says more than our broken pipe
	case sendErr != nil:
		return sendErr
	case code != 0:
		return fmt.Errorf("the guest's program ended with %d", code)
	}
	c.say(ctx, event.Done, fmt.Sprintf("%d files, %s", len(c.found.Files), bytesize.Of(c.found.Bytes)))
	return nil
}

// bundle writes the commits to a nameless file.
func (c *copyIn) bundle(ctx context.Context, dir string) (*os.File, error) {
	if c.found.Git == nil {
		return nil, nil //nolint:nilnil // no commits, no file
	}
	file, err := os.CreateTemp(dir, ".tmp-bundle-*")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Remove(file.Name()), c.found.Bundle(ctx, c.options, file)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (c *copyIn) say(ctx context.Context, kind event.Kind, text string) {
	c.events.Send(ctx, event.Event{Kind: kind, Step: "copy-in", Text: text, Done: c.sent, Total: c.found.Bytes})
}

func (c *copyIn) send(ctx context.Context, w io.Writer, bundle *os.File) error {
	head := wire.Unpack{ID: c.id, Workdir: c.workdir}
	if bundle != nil {
		head.Git = &wire.Git{Branch: c.found.Git.Branch, Origin: c.found.Git.Origin}
		for _, excluded := range c.found.Excluded {
			if excluded.Committed {
				head.Git.Hidden = append(head.Git.Hidden, excluded.Path)
			}
		}
	}
	stream, err := wire.NewWriter(w, head)
	if err != nil {
		return err
	}
	if bundle != nil {
		size, err := bundle.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		if err := stream.Attach(wire.History, size, io.NewSectionReader(bundle, 0, size)); err != nil {
			return fmt.Errorf("sending the commits: %w", err)
		}
	}
	root, err := os.OpenRoot(c.found.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, file := range c.found.Files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := c.sendFile(stream, root, file); err != nil {
			return fmt.Errorf("%s: %w", workspace.Name(file.Path).Show(), err)
		}
		c.sent += file.Size
		c.say(ctx, event.Progress, "")
	}
	return stream.Close()
}

// sendFile sends a file as it is now; one that changes meanwhile is an error.
func (c *copyIn) sendFile(stream *wire.Writer, root *os.Root, file listing.File) error {
	if file.Kind == workspace.Link {
		c.base[file.Path] = file.State
		return stream.Link(file.Path, string(file.Target))
	}
	source, err := root.OpenFile(file.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // never hangs on a pipe
	if err != nil {
		return err
	}
	defer source.Close()
	before, err := source.Stat()
	if err != nil {
		return err
	}
	if !before.Mode().IsRegular() {
		return errors.New("it is no file any more")
	}
	sum := sha256.New()
	exec := workspace.IsExec(before.Mode())
	if err := stream.File(file.Path, exec, before.Size(), io.TeeReader(source, sum)); err != nil {
		return err
	}
	after, err := source.Stat()
	if err != nil {
		return err
	}
	if !after.ModTime().Equal(before.ModTime()) {
		return errors.New("it changed while it was read")
	}
	c.base[file.Path] = workspace.State{Kind: workspace.File, Exec: exec, Size: before.Size(), Sum: hex.EncodeToString(sum.Sum(nil))}
	return nil
}

// record writes the base, and then the record that vouches for it.
func (c *copyIn) record(instance *state.Instance) error {
	record := workspace.Record{
		ID: c.id, Dir: c.found.Dir, Guest: c.workdir, Files: len(c.found.Files), Bytes: c.found.Bytes, Copied: time.Now().UTC(),
	}
	if c.found.Git != nil {
		record.History = c.found.Git.Head
	}
	if err := writeBase(instance, c.base); err != nil {
		return err
	}
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	return instance.WriteFile(state.WorkspaceFile, append(text, '\n'))
}

func writeBase(instance *state.Instance, base workspace.Base) error {
	var text bytes.Buffer
	if _, err := base.WriteTo(&text); err != nil {
		return err
	}
	return instance.WriteFile(state.WorkspaceBase, text.Bytes())
}
