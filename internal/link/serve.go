package link

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// acceptPause keeps a listener that is out of descriptors from spinning.
const acceptPause = 50 * time.Millisecond

// slots bounds the connections of one listener and waits for them.
type slots struct {
	free    chan struct{}
	running sync.WaitGroup
	refused func() // called for a connection over the bound
}

func newSlots(n int, refused func()) *slots {
	return &slots{free: make(chan struct{}, n), refused: refused}
}

// accept runs handle in a goroutine per connection until ctx or the listener ends, then
// waits for all of them. A connection over the bound is closed at once: a guest that
// waits in a queue cannot tell a full relay from a dead one.
func (s *slots) accept(ctx context.Context, listener net.Listener, handle func(context.Context, Conn)) {
	defer s.running.Wait()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if !pause(ctx, acceptPause) {
				return
			}
			continue
		}
		both, ok := conn.(Conn)
		select {
		case s.free <- struct{}{}:
		default:
			ok = false
		}
		if !ok {
			s.refused()
			_ = conn.Close()
			continue
		}
		s.running.Go(func() {
			defer func() { <-s.free }()
			defer both.Close()
			stop := context.AfterFunc(ctx, func() { abort(both) })
			defer stop()
			handle(ctx, both)
		})
	}
}

// pause reports whether ctx let it sleep for d.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
