// Package boundedlisten bounds the connections that a daemon has at one time.
//
// Invariants: the connection after the last one is accepted and turned away at once, since
// one that waits would look like a dead daemon (netutil.LimitListener lets it wait); a slot
// is given back exactly once, when its connection is closed.
package boundedlisten

import (
	"net"
	"sync"
	"time"
)

// answerTime bounds the answer to a connection that is turned away: nobody is accepted
// meanwhile.
const answerTime = time.Second

// Listener turns away the connections that find no slot.
type Listener struct {
	net.Listener
	Slots  chan struct{} // its capacity is the bound; listeners may share it
	Answer string        // to who is turned away; "" only closes
}

// Accept implements [net.Listener]. Its connections can be half-closed with [CloseWrite].
func (l *Listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.Slots <- struct{}{}:
			return &boundedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.Slots })}, nil
		default:
			l.turnAway(conn)
		}
	}
}

func (l *Listener) turnAway(conn net.Conn) {
	if l.Answer != "" {
		_ = conn.SetWriteDeadline(time.Now().Add(answerTime))
		_, _ = conn.Write([]byte(l.Answer))
	}
	_ = conn.Close()
}

// boundedConn gives its slot back when it is closed.
type boundedConn struct {
	net.Conn
	release func()
}

// Close implements [net.Conn].
func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// CloseWrite half-closes; the embedded interface would hide it.
func (c *boundedConn) CloseWrite() error { return CloseWrite(c.Conn) }

// CloseWrite ends what is sent on conn, or closes conn where that cannot be had alone.
func CloseWrite(conn net.Conn) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return conn.Close()
}
