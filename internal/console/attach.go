package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/moby/term"

	"bottle.internal/internal/guestexec"
)

// DefaultDetachKeys are docker's.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// ParseKeys reads keys such as "ctrl-p,ctrl-q". No keys at all: there is no way to detach
// but to be killed.
func ParseKeys(keys string) ([]byte, error) {
	if keys == "" {
		return nil, nil
	}
	parsed, err := term.ToBytes(keys)
	if err != nil {
		return nil, fmt.Errorf("%q are no keys: want letters, ctrl- and a letter, or DEL, between commas", keys)
	}
	return parsed, nil
}

// ErrDetached is how Attach ends for somebody who detached.
var ErrDetached = errors.New("detached")

// ErrGone means that the owner ended the connection without a word: it was killed, or this
// viewer was too slow.
var ErrGone = errors.New("the connection to the bottle's owner has ended")

// RefusedError is what the owner said before it ended the connection.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

// Viewer is somebody who attaches.
type Viewer struct {
	Stdin    io.Reader // nil: nothing is typed
	Stdout   io.Writer
	Sizes    <-chan guestexec.Size // of a terminal, the first one and every change; nil without one
	Keys     []byte                // detach
	ReadOnly bool
}

// Attach shows the agent's terminal at socket until the agent ends, and returns its code.
//
// A Read of Stdin that is in progress at the end is left to itself.
func Attach(ctx context.Context, socket string, v Viewer) (Exit, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return Exit{}, fmt.Errorf("reaching the bottle's owner: %w", err)
	}
	out := &locked{w: conn}
	hello := Hello{Version: Version, ReadOnly: v.ReadOnly}
	if v.Sizes != nil {
		select {
		case size := <-v.Sizes:
			hello.Rows, hello.Cols = uint16(size.Rows), uint16(size.Cols)
		case <-ctx.Done():
			return Exit{}, errors.Join(context.Cause(ctx), conn.Close())
		}
	}
	if err := out.frame(kindHello, encode(hello)); err != nil {
		return Exit{}, errors.Join(fmt.Errorf("reaching the bottle's owner: %w", err), conn.Close())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if v.Stdin != nil {
		go typeTo(out, v, cancel) // ends with its reader: nothing can interrupt a Read
	}
	var wg sync.WaitGroup
	wg.Go(func() { resizeTo(ctx, out, v.Sizes) })
	exit, err := show(conn, v.Stdout)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	cancel(nil)
	wg.Wait()
	return exit, err
}

// locked keeps frames whole that come from two sides.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) frame(k kind, data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return writeFrames(l.w, k, data)
}

// interrupt is ^C: who only reads detaches with it too.
const interrupt = 0x03

func typeTo(out *locked, v Viewer, cancel context.CancelCauseFunc) {
	keys := term.NewEscapeProxy(v.Stdin, v.Keys)
	buffer := make([]byte, 4096)
	for {
		n, err := keys.Read(buffer)
		if v.ReadOnly {
			if v.Sizes != nil && bytes.IndexByte(buffer[:n], interrupt) >= 0 {
				err = term.EscapeError{}
			}
			n = 0
		}
		if n > 0 && out.frame(kindInput, buffer[:n]) != nil {
			return
		}
		if errors.As(err, new(term.EscapeError)) {
			cancel(ErrDetached)
			return
		}
		if err != nil {
			return // an end of input is none of the agent's
		}
	}
}

func resizeTo(ctx context.Context, out *locked, sizes <-chan guestexec.Size) {
	for {
		select {
		case <-ctx.Done():
			return
		case size := <-sizes:
			_ = out.frame(kindResize, encodeSize(size.Rows, size.Cols)) // else the reader sees it
		}
	}
}

// show passes the output on until the last frame.
func show(conn io.Reader, stdout io.Writer) (Exit, error) {
	in, buffer := bufio.NewReaderSize(conn, maxPayload), make([]byte, maxPayload)
	for {
		k, payload, err := readFrame(in, buffer)
		if err != nil {
			if errors.Is(err, errFrame) {
				return Exit{}, err
			}
			return Exit{}, ErrGone
		}
		switch k {
		case kindOutput:
			if _, err := stdout.Write(payload); err != nil {
				return Exit{}, fmt.Errorf("writing what the agent prints: %w", err)
			}
		case kindExit:
			var exit Exit
			if err := json.Unmarshal(payload, &exit); err != nil {
				return Exit{}, fmt.Errorf("%w: %w", errFrame, err)
			}
			return exit, nil
		case kindError:
			return Exit{}, &RefusedError{Text: string(payload)}
		default:
			return Exit{}, errFrame
		}
	}
}
