package egress

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"bottle.internal/internal/boundedlisten"
	"bottle.internal/internal/control"
	"bottle.internal/internal/journal"
	"bottle.internal/internal/netguard"
)

// Channel is the daemon's way to the host; [control.Daemon] is one.
type Channel interface {
	FirstInputs(ctx context.Context) (control.Inputs, error)
	Inputs() <-chan control.Inputs
	Ask(ctx context.Context, kind string, body, answer any) error
}

// Limits bound what one guest can hold open. Zero fields get the default.
type Limits struct {
	Conns     int           // accepted connections; default 512
	Exchanges int           // requests under way; default 256
	Head      time.Duration // for a TLS handshake, and for a request head; default 10 s
	KeepAlive time.Duration // between two requests of a connection; default 2 min
	Idle      time.Duration // without a byte in either direction; default 1 h
	Dial      time.Duration // for TLS with an upstream; default 15 s
	Ask       time.Duration // for the host's answer; default 15 s
	Refresh   time.Duration // between two questions for one route's token; default 60 s
}

func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	if l.Conns == 0 {
		l.Conns = 512
	}
	if l.Exchanges == 0 {
		l.Exchanges = 256
	}
	set(&l.Head, 10*time.Second)
	set(&l.KeepAlive, 2*time.Minute)
	set(&l.Idle, time.Hour)
	set(&l.Dial, 15*time.Second)
	set(&l.Ask, 15*time.Second)
	set(&l.Refresh, time.Minute)
	return l
}

const (
	maxHead    = 64 << 10  // of a request; net/http adds 4 KiB of slack on top
	maxAnswer  = 256 << 10 // of an answer's head
	maxStreams = 128       // of one HTTP/2 connection
)

// Settings are what is not in the inputs. The zero Settings are those of the bundle.
type Settings struct {
	Dialer netguard.Dialer
	// Listen opens the listener of a port; nil means 127.0.0.2.
	Listen func(ctx context.Context, port uint16) (net.Listener, error)
	Limits Limits
	Now    func() time.Time // nil: time.Now
}

// Server is the proxy. Make it with [NewServer].
type Server struct {
	channel  Channel
	settings Settings
	limits   Limits
	now      func() time.Time
	journal  *journal.Journal[line]
	snapshot atomic.Pointer[snapshot]
	serial   atomic.Uint64
	spentAll atomic.Int64
	slots    chan struct{} // of connections
	buffers  buffers
	ctx      context.Context
	stop     context.CancelFunc

	reloading sync.Mutex
	doors     map[uint16]*door
	retired   []*http.Transport
	spent     map[target]*atomic.Int64

	mu        sync.Mutex
	closing   bool
	exchanges map[*exchange]struct{}
	running   sync.WaitGroup // handlers
}

// door is one port.
type door struct {
	server   *http.Server
	listener net.Listener
	done     chan struct{}
}

// serve belongs to a goroutine that wait waits for.
func (d *door) serve() {
	defer close(d.done)
	_ = d.server.ServeTLS(d.listener, "", "")
}

func (d *door) wait() {
	_ = d.server.Close()
	_ = d.listener.Close() // the server may not have begun
	<-d.done
}

// NewServer makes a server without routes: nothing is listened on. Its owner calls Close.
func NewServer(channel Channel, out io.Writer, settings Settings) *Server {
	s := &Server{
		channel: channel, settings: settings, limits: settings.Limits.withDefaults(), now: settings.Now,
		doors: map[uint16]*door{}, spent: map[target]*atomic.Int64{}, exchanges: map[*exchange]struct{}{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.settings.Listen == nil {
		s.settings.Listen = listenInside
	}
	s.slots = make(chan struct{}, s.limits.Conns)
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.journal = journal.New[line](out, s.now)
	s.snapshot.Store(&snapshot{routes: map[target]*route{}})
	return s
}

func listenInside(ctx context.Context, port uint16) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.2:%d", port))
}

// Apply makes inputs the configuration for every request from now on, and cuts what is
// under way and no longer allowed. Inputs that are not understood change nothing.
func (s *Server) Apply(inputs control.Inputs) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	before := s.snapshot.Load()
	snap, err := s.newSnapshot(inputs, before)
	if err != nil {
		return err
	}
	opened, err := s.open(snap.ports())
	if err != nil {
		return err
	}
	s.snapshot.Store(snap)
	for port, door := range opened {
		s.doors[port] = door
		go door.serve()
	}
	s.shut(snap)
	s.mu.Lock()
	for e := range s.exchanges {
		if !snap.allows(e, before) {
			e.cancel(refuse(RuleRevoked, "its route was taken away"))
		}
	}
	s.mu.Unlock()
	s.retire(before, snap)
	snap.leaves.Keep(func(host string) bool {
		for t := range snap.routes {
			if t.host == host {
				return true
			}
		}
		return false
	})
	return nil
}

// open listens on the ports that are new; on an error none of them stays open.
func (s *Server) open(ports []uint16) (map[uint16]*door, error) {
	opened := map[uint16]*door{}
	for _, port := range ports {
		if s.doors[port] != nil {
			continue
		}
		listener, err := s.settings.Listen(s.ctx, port)
		if err != nil {
			for _, door := range opened {
				_ = door.listener.Close()
			}
			return nil, fmt.Errorf("listening on port %d: %w", port, err)
		}
		opened[port] = s.newDoor(port, listener)
	}
	return opened, nil
}

// shut closes the ports that no route needs.
func (s *Server) shut(snap *snapshot) {
	for port, door := range s.doors {
		needed := false
		for t := range snap.routes {
			needed = needed || t.port == port
		}
		if !needed {
			door.wait()
			delete(s.doors, port)
		}
	}
}

func (s *Server) retire(before, snap *snapshot) {
	for t, old := range before.routes {
		if now := snap.routes[t]; now == nil || now.transport != old.transport {
			old.transport.CloseIdleConnections()
			s.retired = append(s.retired, old.transport)
		}
	}
}

// Addr is where a port is listened on, for tests; nil when it is not.
func (s *Server) Addr(port uint16) net.Addr {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if door := s.doors[port]; door != nil {
		return door.listener.Addr()
	}
	return nil
}

// Close ends every connection and returns when all of them are gone.
func (s *Server) Close() {
	s.mu.Lock()
	s.closing = true
	for e := range s.exchanges {
		e.cancel(refuse(RuleRevoked, "egress is closing"))
	}
	s.mu.Unlock()
	s.stop()
	s.reloading.Lock()
	defer s.reloading.Unlock()
	for _, door := range s.doors {
		door.wait()
	}
	s.running.Wait()
	for _, rt := range s.snapshot.Load().routes {
		s.retired = append(s.retired, rt.transport)
	}
	for _, transport := range s.retired {
		transport.CloseIdleConnections()
	}
	s.journal.Close()
}

// spentBy is the counter of a route's upload budget.
func (s *Server) spentBy(r Route) *atomic.Int64 {
	t := target{r.Host, r.Port}
	if s.spent[t] == nil {
		s.spent[t] = new(atomic.Int64)
	}
	return s.spent[t]
}

func (s *Server) newDoor(port uint16, listener net.Listener) *door {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	d := &door{listener: &boundedlisten.Listener{Listener: listener, Slots: s.slots}, done: make(chan struct{})}
	d.server = &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handle(port, w, r) }),
		TLSConfig:         s.tlsConfig(port),
		ReadHeaderTimeout: s.limits.Head,
		IdleTimeout:       s.limits.KeepAlive,
		MaxHeaderBytes:    maxHead,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          log.New(io.Discard, "", 0),
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		// Otherwise net/http itself answers "OPTIONS *" with 200.
		DisableGeneralOptionsHandler: true,
	}
	return d
}

// health is what GET /health answers.
func (s *Server) health() string {
	snap := s.snapshot.Load()
	return fmt.Sprintf(`{"status":"ok","routes":%d,"missing_tokens":%d}`+"\n", len(snap.routes), len(snap.missing))
}
