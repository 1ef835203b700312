package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxEvents is how many events wait for a slow reader before further ones are dropped.
const maxEvents = 256

// maxQuestions is how many questions wait for a slow host before further ones are refused.
const maxQuestions = 64

// ErrEnded is wrapped when the bundle's init is gone.
var ErrEnded = errors.New("the bundle's init ended")

// RefusedError is init's own word on why it did not do what it was asked.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return "the bundle's init refused: " + e.Text }

// Host is the host's end of one attachment. After a restart of the container or a new
// attach there is a new Host, which sends Bootstrap again.
type Host struct {
	in        io.ReadCloser
	out       io.WriteCloser
	events    chan Event
	questions chan Question
	ready     chan struct{}
	ended     chan struct{}
	err       error // why it ended; valid after ended

	refusals sync.WaitGroup // of questions that came too fast

	mu sync.Mutex // one frame at a time
}

// NewHost speaks over the attached stdin and stdout of the container and owns them: Close
// closes both.
func NewHost(out io.WriteCloser, in io.ReadCloser) *Host {
	h := &Host{
		in: in, out: out,
		events: make(chan Event, maxEvents), questions: make(chan Question, maxQuestions), ready: make(chan struct{}), ended: make(chan struct{}),
	}
	go h.read()
	return h
}

// Bootstrap sends the daemons and their inputs.
func (h *Host) Bootstrap(ctx context.Context, b Bootstrap) error {
	if err := b.check(); err != nil {
		return fmt.Errorf("sending %s: %w", typeBootstrap, err)
	}
	return h.send(ctx, typeBootstrap, b.wire())
}

// Deliver replaces the inputs of one daemon, which takes them up while it runs.
func (h *Host) Deliver(ctx context.Context, d Deliver) error {
	if err := d.check(); err != nil {
		return fmt.Errorf("sending %s: %w", typeDeliver, err)
	}
	return h.send(ctx, typeDeliver, wireDeliver{d.Daemon, d.Inputs.wire()})
}

// Questions carries what daemons ask; it is closed when init is gone. Each one is answered
// once. A reader who lags by more than 64 makes init refuse further ones.
func (h *Host) Questions() <-chan Question { return h.questions }

// Answer answers a question: with body, or with the reason why there is none.
func (h *Host) Answer(ctx context.Context, q Question, body any, problem error) error {
	answer := Answer{ID: q.ID}
	if problem != nil {
		answer.Error = plain(problem.Error())
	} else {
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encoding the answer to %s: %w", q.Kind, err)
		}
		answer.Body = raw
	}
	return h.send(ctx, typeAnswer, answer)
}

// Shutdown asks init to end; the container then stops by itself.
func (h *Host) Shutdown(ctx context.Context) error { return h.send(ctx, typeShutdown, struct{}{}) }

// WaitReady waits until every selected daemon answers. It fails with a [*RefusedError] or
// ErrEnded when that will not happen.
func (h *Host) WaitReady(ctx context.Context) error {
	select {
	case <-h.ready:
		return nil
	case <-h.ended:
		select {
		case <-h.ready: // both are true: ready came first
			return nil
		default:
		}
		return fmt.Errorf("waiting for the bundle: %w", h.err)
	case <-ctx.Done():
		return fmt.Errorf("waiting for the bundle: %w", context.Cause(ctx))
	}
}

// Events carries what happens to the daemons; it is closed when init is gone. A reader who
// lags by more than 256 events loses the newest.
func (h *Host) Events() <-chan Event { return h.events }

// Ended is closed when init is gone; Err then tells why.
func (h *Host) Ended() <-chan struct{} { return h.ended }

// Err is nil while init is there.
func (h *Host) Err() error {
	select {
	case <-h.ended:
		return h.err
	default:
		return nil
	}
}

// Close ends this attachment, not the bundle. It may be called more than once.
func (h *Host) Close() error {
	err := errors.Join(h.out.Close(), h.in.Close())
	<-h.ended
	h.refusals.Wait()
	return err
}

func (h *Host) send(ctx context.Context, kind string, body any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.Err(); err != nil {
		return fmt.Errorf("sending %s: %w", kind, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("sending %s: %w", kind, context.Cause(ctx))
	}
	// A half-written frame is of no use to anyone: give up the channel with the wait.
	stop := context.AfterFunc(ctx, func() { _ = h.out.Close() })
	defer stop()
	err := writeFrame(h.out, kind, body)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("sending %s: %w", kind, context.Cause(ctx))
	}
	return err
}

func (h *Host) read() {
	defer close(h.events)
	defer close(h.questions)
	defer close(h.ended)
	for {
		err := h.readOne()
		switch {
		case err == nil:
			continue
		case errors.Is(err, io.EOF):
			h.err = ErrEnded
		default:
			h.err = fmt.Errorf("%w: %w", ErrEnded, err)
		}
		return
	}
}

func (h *Host) readOne() error {
	message, err := readFrame(h.in)
	if err != nil {
		return err
	}
	switch message.Type {
	case typeReady:
		if err := decodeBody(message, &struct{}{}); err != nil {
			return err
		}
		select {
		case <-h.ready: // a second bootstrap is answered too
		default:
			close(h.ready)
		}
	case typeRefused:
		var refused wireRefused
		if err := decodeBody(message, &refused); err != nil {
			return err
		}
		return &RefusedError{plain(refused.Text)}
	case typeEvent:
		var e Event
		if err := decodeBody(message, &e); err != nil {
			return err
		}
		if err := e.check(); err != nil {
			return err
		}
		e.Detail = plain(e.Detail)
		select {
		case h.events <- e:
		default:
		}
	case typeAsk:
		return h.question(message)
	default:
		return fmt.Errorf("%w: unknown type %.40q", ErrProtocol, message.Type)
	}
	return nil
}

func (h *Host) question(message envelope) error {
	var q Question
	if err := decodeBody(message, &q); err != nil {
		return err
	}
	if err := q.check(); err != nil {
		return err
	}
	q.Body = bytes.Clone(q.Body)
	select {
	case h.questions <- q:
	default:
		// The reader must not wait for a write to an init that waits for us.
		h.refusals.Go(func() {
			_ = h.send(context.Background(), typeAnswer, Answer{ID: q.ID, Error: "the host is busy"})
		})
	}
	return nil
}
