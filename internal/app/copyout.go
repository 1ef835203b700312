package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"bottle.internal/internal/event"
	"bottle.internal/internal/excerpt"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/manifest"
	"bottle.internal/internal/state"
	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/apply"
	"bottle.internal/internal/workspace/changes"
	"bottle.internal/internal/workspace/staging"
	"bottle.internal/internal/workspace/wire"
)

// CopyOut is what an agent changed, staged on the host and not applied. Its owner closes it.
type CopyOut struct {
	Identity string
	Dir      string
	Set      *changes.Set
	Ended    apply.Outcome // of an earlier copy-out that was cut short

	instance *state.Instance
	record   workspace.Record
	root     *os.Root
}

// CopyOut fetches what changed in a running bottle. dir is where it would go; empty: where
// the workspace came from.
func (a *App) CopyOut(ctx context.Context, identity, dir string) (*CopyOut, error) {
	return a.copyOut(ctx, identity, dir, func(ctx context.Context, command guestexec.Command, stdio guestexec.Stdio) (int, error) {
		return a.Exec(ctx, identity, command, stdio)
	})
}

func (a *App) copyOut(ctx context.Context, identity, dir string, run guestexec.Runner) (_ *CopyOut, err error) {
	instance, err := a.open(identity)
	if err != nil {
		return nil, err
	}
	c := &CopyOut{Identity: identity, instance: instance}
	base, err := c.prepare(a, dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.Ended, err = apply.Recover(c.Dir); err != nil {
		return nil, err
	}
	if c.root, err = os.OpenRoot(c.Dir); err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	stage, err := a.fetch(ctx, run, c, base)
	if err != nil {
		return nil, err
	}
	c.Set, err = changes.Compare(base, stage, c.root, changes.Rules{Protected: manifest.ProtectedPaths()})
	if err != nil {
		return nil, errors.Join(err, stage.Close())
	}
	return c, nil
}

// prepare finds out where the workspace came from. Another directory than that has no base:
// there everything of the guest's is new.
func (c *CopyOut) prepare(a *App, dir string) (workspace.Base, error) {
	text, err := os.ReadFile(c.instance.Path(state.WorkspaceFile))
	if err == nil {
		err = json.Unmarshal(text, &c.record)
	}
	switch {
	case err == nil:
		c.Dir = c.record.Dir
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading where the workspace came from: %w", err)
	case dir == "":
		return nil, &Problem{
			Text:  "nothing was copied into " + c.Identity + ": where to?",
			Hints: []string{"bottle copy-out " + c.Identity + " DIRECTORY"},
		}
	default:
		c.record.Guest = guestapi.AgentWorkdir
	}
	if dir != "" {
		if c.Dir, err = filepath.EvalSymlinks(a.hostPath(dir)); err != nil {
			return nil, &Problem{Text: "there is no directory to copy out to", Err: err, Hints: []string{"mkdir " + dir}}
		}
	}
	if c.record.Dir == "" || c.Dir != c.record.Dir {
		return workspace.Base{}, nil
	}
	return c.readBase()
}

func (c *CopyOut) readBase() (workspace.Base, error) {
	file, err := os.Open(c.instance.Path(state.WorkspaceBase))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return workspace.ReadBase(file, workspace.DefaultLimits().Files*2)
}

// fetch has the guest pack what differs from the base, and stages it.
func (a *App) fetch(ctx context.Context, run guestexec.Runner, c *CopyOut, base workspace.Base) (*staging.Stage, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.events.Send(ctx, event.Event{Kind: event.Start, Step: "copy-out", Text: "looking at what changed in " + c.Identity})
	request, ask := io.Pipe()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		head := wire.Pack{Workdir: c.record.Guest}
		if len(base) > 0 {
			head.ID = c.record.ID
		}
		_ = ask.CloseWithError(head.Request(ask, base))
	}()
	answer, out := io.Pipe()
	var stage *staging.Stage
	staged := make(chan error, 1)
	go func() {
		var err error
		stage, err = staging.Receive(answer, c.instance.Dir(), workspace.DefaultLimits())
		_ = answer.CloseWithError(errors.New("the host has stopped reading"))
		if err != nil {
			cancel() // a guest that sends for ever is not listened to
		}
		staged <- err
	}()
	said := &excerpt.Tail{Limit: maxSaid}
	code, err := run(ctx, guestexec.Command{Argv: guestapi.PackArgs(), Workdir: "/", Root: true}, guestexec.Stdio{Stdin: request, Stdout: out, Stderr: said})
	_ = out.Close()
	_ = request.CloseWithError(errors.New("the guest has stopped reading"))
	<-asked
	stageErr := <-staged
	if err == nil && code != 0 {
		err = fmt.Errorf("the guest could not pack the workspace: %s", strings.TrimSpace(said.String()))
	}
	if err != nil && errors.Is(stageErr, io.ErrUnexpectedEOF) {
		stageErr = nil // a cut stream only follows from it
	}
	if stageErr != nil {
		return nil, stageErr
	}
	if err != nil {
		if stage != nil {
			err = errors.Join(err, stage.Close())
		}
		return nil, err
	}
	a.events.Send(ctx, event.Event{Kind: event.Done, Step: "copy-out", Text: fmt.Sprintf("%d changed, %d deleted", len(stage.Changed), len(stage.Gone))})
	return stage, nil
}

// Apply writes changes to the directory, all of them or none.
func (c *CopyOut) Apply(ctx context.Context, selected []changes.Change) error {
	request := apply.Request{Dir: c.Dir, Open: c.Set.Stage.Open}
	for _, change := range selected {
		// With --skip-conflicts none of these is a conflict: Old is what was shown.
		request.Ops = append(request.Ops, apply.Op{Path: change.Path, Before: change.Old, After: change.New})
	}
	if err := apply.Apply(ctx, request); err != nil {
		return fmt.Errorf("writing into %s: %w", c.Dir, err)
	}
	if c.Dir != c.record.Dir {
		return nil
	}
	// Read again: another copy-out may have ended meanwhile.
	base, err := c.readBase()
	if err != nil {
		return err
	}
	c.Set.Rebase(base, selected)
	return writeBase(c.instance, base)
}

// Close removes what was staged.
func (c *CopyOut) Close() error {
	var problems []error
	if c.Set != nil {
		problems = append(problems, c.Set.Stage.Close())
	}
	if c.root != nil {
		problems = append(problems, c.root.Close())
	}
	return errors.Join(problems...)
}

// RecoverCopyOut ends a copy-out into a directory that was cut short.
func (a *App) RecoverCopyOut(dir string) (apply.Outcome, error) {
	return apply.Recover(a.hostPath(dir))
}
