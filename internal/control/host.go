package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxEvents is how many events wait for a slow reader before further ones are dropped.
const maxEvents = 256

// ErrEnded is wrapped when the bundle's init is gone.
var ErrEnded = errors.New("the bundle's init ended")

// RefusedError is init's own word on why it did not do what it was asked.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return "the bundle's init refused: " + e.Text }

// Host is the host's end of one attachment. After a restart of the container or a new
// attach there is a new Host, which sends Bootstrap again.
type Host struct {
	in     io.ReadCloser
	out    io.WriteCloser
	events chan Event
	ready  chan struct{}
	ended  chan struct{}
	err    error // why it ended; valid after ended

	mu sync.Mutex // one frame at a time
}

// NewHost speaks over the attached stdin and stdout of the container and owns them: Close
// closes both.
func NewHost(out io.WriteCloser, in io.ReadCloser) *Host {
	h := &Host{
		in: in, out: out,
		events: make(chan Event, maxEvents), ready: make(chan struct{}), ended: make(chan struct{}),
	}
	go h.read()
	return h
}

// Bootstrap sends the key, the daemons and the secrets.
func (h *Host) Bootstrap(ctx context.Context, b Bootstrap) error {
	if err := b.check(); err != nil {
		return fmt.Errorf("sending %s: %w", typeBootstrap, err)
	}
	return h.send(ctx, typeBootstrap, b.wire())
}

// Reload makes the daemons read their configuration again.
func (h *Host) Reload(ctx context.Context) error { return h.send(ctx, typeReload, struct{}{}) }

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
	default:
		return fmt.Errorf("%w: unknown type %.40q", ErrProtocol, message.Type)
	}
	return nil
}
