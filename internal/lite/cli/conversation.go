//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"

	"bottle.internal/internal/lite/wire"
)

// conversation is an exec or a cp under way.
type conversation struct {
	conn   *wire.Conn
	done   func()
	window *window

	killedBy atomic.Int32 // the first signal that was passed on
}

// converse sends the request to the guest of a running machine.
func (a *App) converse(ctx context.Context, name string, request wire.Request) (*conversation, error) {
	_, dir, err := a.open(name)
	if err != nil {
		return nil, err
	}
	run, _, err := dir.ReadRun()
	if err != nil {
		return nil, err
	}
	var conn *wire.Conn
	done := func() {}
	if run.Ready && run.Supervisor.Alive() {
		conn, done, err = dial(ctx, dir)
	}
	if conn == nil || err != nil {
		return nil, notRunning(name)
	}
	c := &conversation{conn: conn, done: done, window: newWindow()}
	if err := conn.SendJSON(wire.KindRequest, request); err != nil {
		done()
		return nil, fmt.Errorf("agent operation failed: %s: %w", request.Op, err)
	}
	return c, nil
}

func notRunning(name string) error {
	return fmt.Errorf("agent operation failed: connect: machine '%s' is not running. "+
		"Use 'smolvm-lite machine start --name %s' first.", name, name)
}

// errReading marks a failure of our own side in send: a failing connection has more to
// say to receive.
var errReading = errors.New("reading the input")

// send forwards everything from r and its end. It blocks in r's Read for as long as r
// likes: only the end of the process is certain to free it.
func (c *conversation) send(r io.Reader) error {
	buffer := make([]byte, wire.MaxData)
	for {
		n, err := r.Read(buffer)
		if n > 0 {
			if !c.window.take(n) {
				return nil
			}
			if err := c.conn.Send(wire.KindStdin, buffer[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return c.conn.Send(wire.KindStdinEOF, nil)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errReading, err)
		}
	}
}

// receive passes output on until the exit. A failing writer ends the conversation.
func (c *conversation) receive(stdout, stderr io.Writer) (wire.Exit, error) {
	defer c.window.close()
	for {
		frame, err := c.conn.Receive()
		if err != nil {
			return wire.Exit{}, fmt.Errorf("the connection to the machine broke: %w", err)
		}
		switch frame.Kind {
		case wire.KindStdout:
			_, err = stdout.Write(frame.Payload)
		case wire.KindStderr:
			_, err = stderr.Write(frame.Payload)
		case wire.KindAck:
			c.window.give(frame.Ack())
		case wire.KindExit:
			var exit wire.Exit
			err := frame.Decode(wire.KindExit, &exit)
			return exit, err
		default:
			err = fmt.Errorf("%w: frame %q from the machine", wire.ErrProtocol, frame.Kind)
		}
		if err != nil {
			return wire.Exit{}, err
		}
	}
}

// printable keeps a guest's words from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// window is the stdin that may still be sent without an acknowledgement.
type window struct {
	mu     sync.Mutex
	wake   *sync.Cond
	free   int
	closed bool
}

func newWindow() *window {
	w := &window{free: wire.StdinWindow}
	w.wake = sync.NewCond(&w.mu)
	return w
}

// take waits for n bytes of room; it is false when nobody wants them any more.
func (w *window) take(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.free < n && !w.closed {
		w.wake.Wait()
	}
	w.free -= n
	return !w.closed
}

// give believes no more than what was sent.
func (w *window) give(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free = min(w.free+n, wire.StdinWindow)
	w.wake.Signal()
}

func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.wake.Signal()
}
