package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxRelayConns bounds the connections of one relay (SECURITY-RULES 26).
	MaxRelayConns = 256
	// HalfOpenTimeout is how long a guest may hold a connection without a byte or an end.
	HalfOpenTimeout = 10 * time.Second

	// maxHandshakes keeps a burst of one guest far below a gate's MaxPending.
	maxHandshakes = 16
)

// ErrGateDown is the failure of a connection made while the bundle has no address.
var ErrGateDown = errors.New("the bundle is down")

// RelayConfig describes a [Relay]. Port, Key and Gate are required, and Socket or Listener.
type RelayConfig struct {
	Socket string // path of the unix socket; its directory is ours with mode 0700
	// Listener takes the place of Socket where the guest is all that can reach it, whoever
	// asks. The relay owns it.
	Listener net.Listener
	Port     uint16 // the daemon's port behind the gate
	Key      Key
	// Gate returns the gate's address of the moment, or "" while there is none. It is
	// asked for each connection, so a bundle may come back at another address.
	Gate func() string
	// PeerUID is one more user who may own the directory and connect, for a VM tool that
	// leaves root behind; the socket is then given to it. 0 means nobody.
	PeerUID int

	halfOpen time.Duration      // tests shorten it
	allowed  func(uid int) bool // tests know other users
}

// Relay is a unix socket on the host that ends at one daemon behind a gate. It lives
// until Close, whether or not the gate does.
type Relay struct {
	config   RelayConfig
	slots    *slots
	shaking  chan struct{} // a place for each handshake under way
	cancel   context.CancelFunc
	done     chan struct{}
	counters Counters

	active, accepted, refused, failed atomic.Int64

	mu   sync.Mutex
	last error
}

// RelayStats tells what a relay did so far.
type RelayStats struct {
	Active   int64 // connections right now
	Accepted int64
	Refused  int64 // over the bound, of a foreign user, or silent for too long
	Failed   int64 // the gate was down, or did not know the key
	Up, Down int64 // bytes from and to the guest
	Last     error // why the newest failed connection failed; nil if none did
}

// NewRelay creates the socket with mode 0600 and serves it; ctx bounds only the start. A
// stale socket of a dead process is replaced, one that answers is an error.
func NewRelay(ctx context.Context, config RelayConfig) (*Relay, error) {
	if config.Key.IsZero() {
		return nil, ErrNoKey
	}
	if config.halfOpen == 0 {
		config.halfOpen = HalfOpenTimeout
	}
	if config.allowed == nil {
		config.allowed = func(uid int) bool { return ours(uid, config.PeerUID) }
	}
	listener := config.Listener
	if listener == nil {
		unix, err := listenUnix(ctx, config.Socket, config.PeerUID)
		if err != nil {
			return nil, fmt.Errorf("opening the relay socket %s: %w", config.Socket, err)
		}
		listener = unix
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &Relay{config: config, cancel: cancel, done: make(chan struct{}), shaking: make(chan struct{}, maxHandshakes)}
	r.slots = newSlots(MaxRelayConns, func() { r.refused.Add(1) })
	go func() {
		defer close(r.done)
		r.slots.accept(serving, listener, r.handle)
	}()
	return r, nil
}

// Close removes the socket, cuts every connection and waits for all of them. It may be
// called more than once.
func (r *Relay) Close() error {
	r.cancel()
	<-r.done
	return nil
}

// Stats returns the counts of connections and bytes.
func (r *Relay) Stats() RelayStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RelayStats{
		Active: r.active.Load(), Accepted: r.accepted.Load(), Refused: r.refused.Load(), Failed: r.failed.Load(),
		Up: r.counters.Up.Load(), Down: r.counters.Down.Load(), Last: r.last,
	}
}

func (r *Relay) handle(ctx context.Context, guest Conn) {
	r.active.Add(1)
	defer r.active.Add(-1)
	if r.config.Listener == nil && !peerAllowed(guest, r.config.allowed) {
		r.refused.Add(1)
		return
	}
	r.accepted.Add(1)
	first, err := r.firstBytes(guest)
	if err != nil {
		r.refused.Add(1)
		return
	}
	gate, err := r.dial(ctx)
	if err != nil {
		r.failed.Add(1)
		r.mu.Lock()
		r.last = err
		r.mu.Unlock()
		return
	}
	_ = Splice(ctx, &replayed{Conn: guest, first: first}, gate, &r.counters)
}

// firstBytes waits for the guest to say something or to end its side. Until then nothing
// is dialled: idle connections of a guest must not use up the bundle's.
func (r *Relay) firstBytes(guest Conn) ([]byte, error) {
	if err := guest.SetReadDeadline(time.Now().Add(r.config.halfOpen)); err != nil {
		return nil, err
	}
	buffer := make([]byte, chunk)
	n, err := guest.Read(buffer)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return buffer[:n], guest.SetReadDeadline(time.Time{})
}

func (r *Relay) dial(ctx context.Context) (Conn, error) {
	r.shaking <- struct{}{}
	defer func() { <-r.shaking }()
	return DialGate(ctx, r.config.Gate(), r.config.Key, r.config.Port)
}

// DialGate connects to the daemon at port behind the gate at addr.
func DialGate(ctx context.Context, addr string, key Key, port uint16) (Conn, error) {
	if addr == "" {
		return nil, ErrGateDown
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("reaching the gate: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := Hello(conn, key, port); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("greeting the gate at %s: %w", addr, err)
	}
	return conn.(*net.TCPConn), nil
}

// replayed gives back bytes that were read before.
type replayed struct {
	Conn
	first []byte
}

func (c *replayed) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
