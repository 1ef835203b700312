package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"bottle.internal/internal/event"
	"bottle.internal/internal/excerpt"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/state"
	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/apply"
	"bottle.internal/internal/workspace/changes"
	"bottle.internal/internal/workspace/staging"
	"bottle.internal/internal/workspace/wire"
)

// Out is a copy-out that is to be made.
type Out struct {
	Instance *state.Instance
	Record   workspace.Record
	Dir      string // where it would go
	Rules    changes.Rules
	Events   event.Sink
}

// Staged is what an agent changed, staged on the host and not applied. Its owner closes it.
type Staged struct {
	Identity string
	Dir      string
	Set      *changes.Set
	Ended    apply.Outcome // of an earlier copy-out that was cut short

	out  Out
	root *os.Root
}

// Fetch stages what changed in a machine.
func (o Out) Fetch(ctx context.Context, run guestexec.Runner) (_ *Staged, err error) {
	base, err := o.base()
	if err != nil {
		return nil, err
	}
	s := &Staged{Identity: string(o.Instance.ID), Dir: o.Dir, out: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Ended, err = apply.Recover(o.Dir); err != nil {
		return nil, err
	}
	if s.root, err = os.OpenRoot(o.Dir); err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	stage, err := o.fetch(ctx, run, base)
	if err != nil {
		return nil, err
	}
	s.Set, err = changes.Compare(base, stage, s.root, o.Rules)
	if err != nil {
		return nil, errors.Join(err, stage.Close())
	}
	return s, nil
}

// home reports whether it goes back to where the workspace came from.
func (o Out) home() bool { return o.Record.Dir != "" && o.Dir == o.Record.Dir }

// base is what went in. Another directory than that has none: there everything of the
// guest's is new.
func (o Out) base() (workspace.Base, error) {
	if !o.home() {
		return workspace.Base{}, nil
	}
	return readBase(o.Instance)
}

// fetch has the guest pack what differs from the base, and stages it.
func (o Out) fetch(ctx context.Context, run guestexec.Runner, base workspace.Base) (*staging.Stage, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o.Events.Send(ctx, event.Event{Kind: event.Start, Step: "copy-out", Text: "looking at what changed in " + string(o.Instance.ID)})
	request, ask := io.Pipe()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		head := wire.Pack{Workdir: o.Record.Guest}
		if len(base) > 0 {
			head.ID = o.Record.ID
		}
		_ = ask.CloseWithError(head.Request(ask, base))
	}()
	answer, out := io.Pipe()
	var stage *staging.Stage
	staged := make(chan error, 1)
	go func() {
		var err error
		stage, err = staging.Receive(answer, o.Instance.Dir(), workspace.DefaultLimits())
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
	o.Events.Send(ctx, event.Event{Kind: event.Done, Step: "copy-out", Text: fmt.Sprintf("%d changed, %d deleted", len(stage.Changed), len(stage.Gone))})
	return stage, nil
}

// Apply writes changes to the directory, all of them or none.
func (s *Staged) Apply(ctx context.Context, selected []changes.Change) error {
	request := apply.Request{Dir: s.Dir, Open: s.Set.Stage.Open}
	for _, change := range selected {
		// With --skip-conflicts none of these is a conflict: Old is what was shown.
		request.Ops = append(request.Ops, apply.Op{Path: change.Path, Before: change.Old, After: change.New})
	}
	if err := apply.Apply(ctx, request); err != nil {
		return fmt.Errorf("writing into %s: %w", s.Dir, err)
	}
	if !s.out.home() {
		return nil
	}
	// Read again: another copy-out may have ended meanwhile.
	base, err := readBase(s.out.Instance)
	if err != nil {
		return err
	}
	s.Set.Rebase(base, selected)
	return writeBase(s.out.Instance, base)
}

// Close removes what was staged.
func (s *Staged) Close() error {
	var problems []error
	if s.Set != nil {
		problems = append(problems, s.Set.Stage.Close())
	}
	if s.root != nil {
		problems = append(problems, s.root.Close())
	}
	return errors.Join(problems...)
}
