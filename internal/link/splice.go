package link

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// chunk is what one direction of a splice holds in memory.
const chunk = 32 << 10

// Conn is a connection that can end one direction: TCP and unix connections are.
type Conn interface {
	net.Conn
	CloseWrite() error
}

// Counters count the bytes of a splice while it runs. The zero value is ready.
type Counters struct {
	Up   atomic.Int64 // from the first connection to the second
	Down atomic.Int64 // from the second to the first
}

// Splice carries bytes both ways between a and b until both directions have ended, then
// closes both. The end of one direction is passed on as a half-close and does not end the
// other. A connection that fails, or the end of ctx, aborts both sides: a peer must not
// take a torn stream for a complete one.
func Splice(ctx context.Context, a, b Conn, counters *Counters) error {
	var once sync.Once
	abortBoth := func() { once.Do(func() { abort(a); abort(b) }) }
	aborted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(aborted); abortBoth() })

	down := make(chan error, 1)
	go func() { down <- pipe(a, b, &counters.Down, abortBoth) }()
	err := errors.Join(pipe(b, a, &counters.Up, abortBoth), <-down)

	if !stop() {
		<-aborted
		err = context.Cause(ctx)
	}
	_, _ = a.Close(), b.Close()
	return err
}

// pipe carries one direction. A read error tears both directions down; a write error only
// this one, because what the other side sent before it went is still worth delivering.
func pipe(dst, src Conn, count *atomic.Int64, abortBoth func()) error {
	buffer := make([]byte, chunk)
	for {
		n, err := src.Read(buffer)
		if n > 0 {
			written, werr := dst.Write(buffer[:n])
			count.Add(int64(written))
			if werr != nil {
				return werr
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return ignoreGone(dst.CloseWrite())
		case err != nil:
			abortBoth()
			return err
		}
	}
}

// ignoreGone drops the error of half-closing a connection whose peer has already left.
func ignoreGone(err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return nil
	}
	return err
}

// abort closes conn so that the peer of a TCP connection sees a reset, not an end.
func abort(conn Conn) {
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
