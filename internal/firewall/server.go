package firewall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound what one guest can hold open. Zero fields get the default.
type Limits struct {
	Conns     int           // accepted connections; default 512
	Exchanges int           // requests and tunnels under way; default 256
	Head      time.Duration // to receive a request head; default 10 s
	KeepAlive time.Duration // between two requests of a connection; default 60 s
	Hello     time.Duration // to receive a whole TLS client hello; default 10 s
	Idle      time.Duration // without a byte in either direction; default as pipelock's
	Stall     time.Duration // for one write of a plain answer; default 60 s
	Headers   time.Duration // for the head of a plain answer; default 5 min
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
	set(&l.KeepAlive, time.Minute)
	set(&l.Hello, 10*time.Second)
	set(&l.Idle, tunnelSeconds*time.Second)
	set(&l.Stall, time.Minute)
	set(&l.Headers, 5*time.Minute)
	return l
}

// maxHead bounds a request head; net/http adds 4 KiB of slack on top.
const maxHead = 16 << 10

// Config is what a [Server] needs. Policy and Log are required by sense: the zero
// Policy allows nothing, a nil Log drops the lines.
type Config struct {
	Policy   Policy
	Resolver Resolver // nil: [SystemResolver]
	Dial     DialFunc // nil: TCP
	Log      io.Writer
	Limits   Limits
	Now      func() time.Time // nil: time.Now
}

// Server is the builtin firewall engine. Make it with [NewServer].
type Server struct {
	policy    atomic.Pointer[Policy]
	resolver  Resolver
	dial      DialFunc
	guard     *guard
	journal   *journal
	limits    Limits
	now       func() time.Time
	transport *http.Transport
	serial    atomic.Uint64

	mu        sync.Mutex
	closing   bool
	exchanges map[*exchange]struct{}
	running   sync.WaitGroup // handlers, tunnels included
}

// NewServer refuses a policy that is not valid.
func NewServer(config Config) (*Server, error) {
	s := &Server{
		resolver: config.Resolver, dial: config.Dial, now: config.Now,
		guard: newGuard(), limits: config.Limits.withDefaults(), exchanges: map[*exchange]struct{}{},
	}
	if s.resolver == nil {
		s.resolver = SystemResolver{}
	}
	if s.dial == nil {
		s.dial = systemDial
	}
	if s.now == nil {
		s.now = time.Now
	}
	if config.Log == nil {
		config.Log = io.Discard
	}
	s.journal = newJournal(config.Log, s.now)
	s.transport = s.newTransport()
	if err := s.Reload(config.Policy); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload replaces the policy at once for every request, and cuts what is under way and
// no longer allowed. A policy that is not valid is refused and the old one stays.
func (s *Server) Reload(policy Policy) error {
	if err := policy.Validate(); err != nil {
		return err
	}
	policy = policy.sorted()
	s.policy.Store(&policy)
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.exchanges {
		if !Decide(policy, e.method, e.target).Allow {
			e.cancel(errRevoked)
		}
	}
	return nil
}

// Serve answers on listener until ctx ends, then closes the listener and every
// connection and returns nil when all of them are gone. It is called once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.limits.Head,
		IdleTimeout:       s.limits.KeepAlive,
		MaxHeaderBytes:    maxHead,
		ErrorLog:          log.New(io.Discard, "", 0),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		// Otherwise net/http itself answers "OPTIONS *" with 200.
		DisableGeneralOptionsHandler: true,
	}
	s.journal.write(line{Event: eventReady, Listen: listener.Addr().String(), Routes: s.routes()})
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	err := server.Serve(newBoundedListener(listener, s.limits.Conns))
	cancel()
	if !stop() {
		err = nil // the caller ended it
	}
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	_ = server.Close()
	s.running.Wait()
	s.journal.close()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the firewall: %w", err)
	}
	return nil
}

func (s *Server) routes() *int {
	n := len(s.policy.Load().Hosts)
	return &n
}

// ServeHTTP implements [http.Handler]: it registers the exchange first and decides then,
// so that a reload in between cannot be missed by both.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, status := s.begin(r)
	defer s.end(e)
	policy := *s.policy.Load()
	e.decision = Decide(policy, e.method, e.target)
	switch {
	case !e.decision.Allow:
		s.refuse(w, e, e.decision)
	case e.decision.Rule == RuleHealth:
		s.health(w)
	case status != "":
		s.refuse(w, e, e.decision.refuse(RuleLimit, "%s", status))
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		s.refuse(w, e, e.decision.refuse(RuleBody, "%s: a body is not allowed on CONNECT and plain requests", e.decision.Route))
	case e.method == http.MethodConnect:
		s.connect(w, e)
	default:
		s.forward(w, r, e)
	}
}
