package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/event"
	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
	"bottle.internal/internal/timeline"
)

// followEvery is how often a log that is followed is looked at.
const followEvery = 100 * time.Millisecond

// LogsRequest says which records of a bottle are wanted.
type LogsRequest struct {
	Identity     string
	Follow       bool
	Since, Until time.Time         // zero: no bound
	Sources      []timeline.Source // none: all
	Tail         int               // the last so many of what is there; below zero: all
	// Idle is called whenever there is nothing more right now, and before the end.
	Idle func() error
}

// Logs visits what happened in a bottle, in the order of time. Following ends with ctx, or
// when the bottle is gone and what it wrote last was visited. What is wrong with a log is in
// the error; the others were visited all the same.
func (a *App) Logs(ctx context.Context, request LogsRequest, visit func(timeline.Record) error) error {
	streams, problems, err := a.logStreams(ctx, request)
	if err != nil {
		return err
	}
	reader := logReader{LogsRequest: request, visit: visit, filling: request.Tail >= 0}
	for item, err := range timeline.Merge(streams...) {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			problems = append(problems, a.logProblem(ctx, request.Identity, err))
			continue
		case item.Idle:
			err = reader.pause(ctx)
		default:
			err = reader.record(item.Record)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(reader.flush(), errors.Join(problems...))
}

// logStreams opens what there is of a bottle. Without a key the audit log cannot be judged;
// what the agent printed is shown nevertheless.
func (a *App) logStreams(ctx context.Context, request LogsRequest) ([]timeline.Stream, []error, error) {
	id, err := names.ParseIdentity(request.Identity)
	if err != nil {
		return nil, nil, &Problem{Text: err.Error(), Hints: []string{"bottle list"}}
	}
	instance, err := a.state.Open(id)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return nil, nil, err
	}
	_, missing := os.Lstat(a.auditLog(id))
	if instance == nil && errors.Is(missing, fs.ErrNotExist) {
		return nil, nil, &Problem{Text: "there is no bottle " + request.Identity + ", and no log of one", Hints: []string{"bottle list", "ls " + a.state.Dir() + "/" + state.AuditDir}}
	}
	var ended func() bool
	if request.Follow && instance != nil {
		ended = func() bool { return instance.Gone() && !written(a.auditLog(id)) }
		if !instance.Owned() {
			a.events.Send(ctx, event.Event{Kind: event.Info, Step: "logs", Text: request.Identity + " does not run: waiting for its resume or its removal"})
		}
	}
	var streams []timeline.Stream
	var problems []error
	switch log, err := a.auditFile(request.Identity); {
	case ended == nil && errors.Is(missing, fs.ErrNotExist): // it was launched just now
	case err != nil:
		problems = append(problems, err)
	default:
		streams = append(streams, timeline.AuditLog(timeline.File{Path: log.path, Ended: ended}, log.expect))
	}
	if instance != nil {
		streams = append(streams, timeline.AgentLog(timeline.File{Path: instance.Path(state.AgentLog), Ended: ended}))
	}
	return streams, problems, nil
}

// written reports whether a process has an audit log open for writing: its lock says so.
func written(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	return errors.Is(syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// logProblem tells a log that somebody touched, which is an error, from the end that a killed
// process leaves.
func (a *App) logProblem(ctx context.Context, identity string, err error) error {
	broken := (*audit.BrokenError)(nil)
	switch {
	case !errors.As(err, &broken):
		return err
	case broken.Kind == audit.Unsigned || broken.Kind == audit.Torn:
		a.events.Send(ctx, event.Event{Kind: event.Warn, Step: "logs", Text: "of the audit log, " + broken.Error()})
		return nil
	}
	return &Problem{
		Text:  fmt.Sprintf("the audit log of %s is shown up to where it is true: %v", identity, broken),
		Hints: []string{"bottle audit verify " + identity},
	}
}

// logReader chooses records.
type logReader struct {
	LogsRequest

	visit   func(timeline.Record) error
	filling bool              // the tail is not complete yet
	kept    []timeline.Record // the last records, a ring
	oldest  int
}

func (r *logReader) wants(record timeline.Record) bool {
	return (r.Since.IsZero() || !record.Time.Before(r.Since)) &&
		(r.Until.IsZero() || !record.Time.After(r.Until)) &&
		(len(r.Sources) == 0 || slices.Contains(r.Sources, record.Source))
}

func (r *logReader) record(record timeline.Record) error {
	switch {
	case !r.wants(record):
		return nil
	case !r.filling:
		return r.visit(record)
	case len(r.kept) < r.Tail:
		r.kept = append(r.kept, record)
	case r.Tail > 0:
		r.kept[r.oldest] = record
		r.oldest = (r.oldest + 1) % r.Tail
	}
	return nil
}

// flush visits what was kept, and ends keeping.
func (r *logReader) flush() error {
	kept := slices.Concat(r.kept[r.oldest:], r.kept[:r.oldest])
	r.filling, r.kept, r.oldest = false, nil, 0
	for _, record := range kept {
		if err := r.visit(record); err != nil {
			return err
		}
	}
	return nil
}

func (r *logReader) pause(ctx context.Context) error {
	if err := errors.Join(r.flush(), r.Idle()); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(followEvery):
		return nil
	}
}
