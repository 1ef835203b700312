package transfer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"bottle.internal/internal/bytesize"
	"bottle.internal/internal/event"
	"bottle.internal/internal/excerpt"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/state"
	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/listing"
	"bottle.internal/internal/workspace/wire"
)

// In is a copy-in that is to be made.
type In struct {
	Dir      string // on the host
	Workdir  string // in the machine
	Listing  listing.Options
	Instance *state.Instance
	Events   event.Sink
}

// Run copies the directory as it is now into a new machine: who was shown it saw it some
// minutes ago.
func (in In) Run(ctx context.Context, run guestexec.Runner) error {
	found, err := listing.Scan(ctx, in.Dir, in.Listing)
	if err != nil {
		return err
	}
	c := &copyIn{In: in, id: rand.Text(), found: found, base: workspace.Base{}}
	if err := c.stream(ctx, run); err != nil {
		return fmt.Errorf("copying %s in: %w", in.Dir, err)
	}
	return c.record()
}

// copyIn is one on its way.
type copyIn struct {
	In
	id    string
	found listing.Listing
	base  workspace.Base
	sent  int64
}

func (c *copyIn) stream(ctx context.Context, run guestexec.Runner) error {
	bundle, err := c.bundle(ctx)
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
func (c *copyIn) bundle(ctx context.Context) (*os.File, error) {
	if c.found.Git == nil {
		return nil, nil //nolint:nilnil // no commits, no file
	}
	file, err := os.CreateTemp(c.Instance.Dir(), ".tmp-bundle-*")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Remove(file.Name()), c.found.Bundle(ctx, c.Listing, file)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (c *copyIn) say(ctx context.Context, kind event.Kind, text string) {
	c.Events.Send(ctx, event.Event{Kind: kind, Step: "copy-in", Text: text, Done: c.sent, Total: c.found.Bytes})
}

func (c *copyIn) send(ctx context.Context, w io.Writer, bundle *os.File) error {
	head := wire.Unpack{ID: c.id, Workdir: c.Workdir}
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
func (c *copyIn) record() error {
	record := workspace.Record{
		ID: c.id, Dir: c.found.Dir, Guest: c.Workdir, Files: len(c.found.Files), Bytes: c.found.Bytes, Copied: time.Now().UTC(),
	}
	if c.found.Git != nil {
		record.History = c.found.Git.Head
	}
	if err := writeBase(c.Instance, c.base); err != nil {
		return err
	}
	return writeRecord(c.Instance, record)
}
