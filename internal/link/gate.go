package link

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxGateConns bounds the connections of a gate, pending and spliced.
	MaxGateConns = 1024
	// MaxPending bounds the handshakes under way at a gate.
	MaxPending = 64

	// pendingGrace is how long a handshake is safe from making way for a newer one.
	pendingGrace = 250 * time.Millisecond
	pendingRetry = 10 * time.Millisecond
	dialTimeout  = 2 * time.Second
)

// Gate admits holders of a key to daemons on 127.0.0.1. It admits nobody before Open.
type Gate struct {
	slots *slots

	mu      sync.Mutex
	key     Key
	ports   []uint16
	pending []pending // oldest first

	admitted, refused atomic.Int64
	counters          Counters
}

type pending struct {
	conn  Conn
	since time.Time
}

// NewGate returns a gate that is shut.
func NewGate() *Gate {
	g := &Gate{}
	g.slots = newSlots(MaxGateConns, func() { g.refused.Add(1) })
	return g
}

// Open lets holders of key reach the ports on 127.0.0.1, from the next connection on.
func (g *Gate) Open(key Key, ports []uint16) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.key, g.ports = key, slices.Clone(ports)
}

// Serve accepts until ctx ends, closes listener and waits for every connection.
func (g *Gate) Serve(ctx context.Context, listener net.Listener) {
	g.slots.accept(ctx, listener, g.handle)
}

// GateStats tells what a gate did so far.
type GateStats struct{ Admitted, Refused, Up, Down int64 }

// Stats returns the counts of connections and bytes.
func (g *Gate) Stats() GateStats {
	return GateStats{g.admitted.Load(), g.refused.Load(), g.counters.Up.Load(), g.counters.Down.Load()}
}

func (g *Gate) handle(ctx context.Context, conn Conn) {
	port, err := g.admit(ctx, conn)
	if err != nil {
		g.refused.Add(1)
		return
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	daemon, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		g.refused.Add(1)
		return
	}
	g.admitted.Add(1)
	_ = Splice(ctx, conn, daemon.(*net.TCPConn), &g.counters)
}

// admit runs one handshake, when there is a place for it.
func (g *Gate) admit(ctx context.Context, conn Conn) (uint16, error) {
	for !g.enter(conn) {
		if !pause(ctx, pendingRetry) {
			return 0, context.Cause(ctx)
		}
	}
	defer g.leave(conn)
	g.mu.Lock()
	key, ports := g.key, g.ports
	g.mu.Unlock()
	return Admit(conn, key, ports)
}

// enter takes a place among the pending, if need be that of the oldest: an honest client
// is done within milliseconds, so strangers who dawdle cannot shut the gate.
func (g *Gate) enter(conn Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.pending) >= MaxPending {
		oldest := g.pending[0]
		if time.Since(oldest.since) < pendingGrace {
			return false
		}
		_ = oldest.conn.Close() // its handshake fails now and finds itself gone
		g.pending = slices.Delete(g.pending, 0, 1)
	}
	g.pending = append(g.pending, pending{conn, time.Now()})
	return true
}

func (g *Gate) leave(conn Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending = slices.DeleteFunc(g.pending, func(p pending) bool { return p.conn == conn })
}
