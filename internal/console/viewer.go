package console

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"bottle.internal/internal/link"
	"bottle.internal/internal/printable"
)

const (
	// maxQueue is how far a viewer may fall behind, in bytes.
	maxQueue = 4 << 20
	// helloTime is what a viewer has to say who it is.
	helloTime = 5 * time.Second
)

// The events of the audit log that Config.Note is told of.
const (
	eventAttached = "attached"
	eventDetached = "detached"
)

// The reasons why a viewer is gone, for the audit log.
const (
	reasonLeft  = "left"
	reasonEnded = "the agent ended"
	reasonSlow  = "read too slowly"
	reasonError = "error"
)

// viewer is one connection.
type viewer struct {
	conn       *net.UnixConn
	hello      Hello
	number     int
	rows, cols uint16        // the session's lock guards them
	gone       chan struct{} // closed when nothing more is written

	mu     sync.Mutex
	queue  []byte
	last   bool   // nothing may follow what is in the queue
	reason string // why it ended, "" as long as it has not
	wake   chan struct{}
}

func (s *Console) serve(conn *net.UnixConn) {
	v := &viewer{conn: conn, gone: make(chan struct{}), wake: make(chan struct{}, 1)}
	defer conn.Close()
	if !link.PeerIsUs(conn) {
		return
	}
	buffer := make([]byte, maxPayload)
	if err := v.greet(buffer); err != nil {
		v.refuse(err)
		return
	}
	if err := s.enter(v); err != nil {
		v.refuse(err)
		return
	}
	s.config.Note(eventAttached, map[string]any{
		"viewer": v.number, "read_only": v.hello.ReadOnly, "rows": v.hello.Rows, "cols": v.hello.Cols,
	})
	s.wg.Go(v.write)
	v.end(s.read(v, buffer))
	<-v.gone
	s.leave(v)
	s.config.Note(eventDetached, map[string]any{"viewer": v.number, "reason": v.reason})
}

func (v *viewer) greet(buffer []byte) error {
	_ = v.conn.SetReadDeadline(time.Now().Add(helloTime))
	k, payload, err := readFrame(v.conn, buffer)
	if err != nil {
		return err
	}
	if k != kindHello {
		return errFrame
	}
	if v.hello, err = parseHello(payload); err != nil {
		return err
	}
	v.rows, v.cols = v.hello.Rows, v.hello.Cols
	return v.conn.SetReadDeadline(time.Time{})
}

// refuse says why there is no session for this viewer.
func (v *viewer) refuse(err error) {
	_ = v.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_ = writeFrames(v.conn, kindError, []byte(printable.ASCII(err.Error(), 512)))
}

// read takes what the viewer sends until it leaves.
func (s *Console) read(v *viewer, buffer []byte) (reason string) {
	for {
		k, payload, err := readFrame(v.conn, buffer)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET): // it may leave unread what it was sent
			return reasonLeft
		case err != nil:
			return reasonError
		}
		switch k {
		case kindInput:
			if v.hello.ReadOnly {
				continue
			}
			select {
			case s.input <- append([]byte(nil), payload...):
			case <-v.gone:
				return reasonLeft
			case <-s.done:
				return reasonEnded
			}
		case kindResize:
			rows, cols, err := parseSize(payload)
			if err != nil {
				return reasonError
			}
			s.mu.Lock()
			v.rows, v.cols = rows, cols
			s.resize(false)
			s.mu.Unlock()
		default:
			return reasonError
		}
	}
}

// send queues something without waiting. A viewer that is too far behind is sent away.
func (v *viewer) send(k kind, data []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last || len(data) == 0 {
		return
	}
	if len(v.queue)+len(data) > maxQueue {
		v.reason, v.last = reasonSlow, true
		v.queue = appendFrame(nil, kindError, []byte("this terminal was too slow for what the agent prints; the agent runs on"))
		_ = v.conn.SetWriteDeadline(time.Now().Add(farewell))
		v.poke()
		return
	}
	for len(data) > 0 {
		n := min(len(data), maxPayload)
		v.queue, data = appendFrame(v.queue, k, data[:n]), data[n:]
	}
	v.poke()
}

// finish queues the last frame.
func (v *viewer) finish(exit Exit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last {
		return
	}
	v.queue, v.last, v.reason = appendFrame(v.queue, kindExit, encode(exit)), true, reasonEnded
	_ = v.conn.SetWriteDeadline(time.Now().Add(farewell))
	v.poke()
}

// end is for a viewer that sends nothing more; the first reason is the one that counts.
func (v *viewer) end(reason string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reason == "" {
		v.reason, v.last, v.queue = reason, true, nil
		_ = v.conn.Close()
	}
	v.poke()
}

func (v *viewer) poke() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// write sends what is queued until the last of it.
func (v *viewer) write() {
	defer close(v.gone)
	defer v.conn.Close()
	for range v.wake {
		for {
			v.mu.Lock()
			data, last := v.queue, v.last
			v.queue = nil
			v.mu.Unlock()
			if len(data) > 0 {
				if _, err := v.conn.Write(data); err != nil {
					v.end(reasonLeft)
					return
				}
				continue
			}
			if last {
				return
			}
			break
		}
	}
}
