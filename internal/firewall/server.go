package firewall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"bottle.internal/internal/boundedlisten"
	"bottle.internal/internal/canary"
	"bottle.internal/internal/firewall/requestscan"
	"bottle.internal/internal/journal"
	"bottle.internal/internal/netguard"
)

// Limits bound what one guest can hold open and send. Zero fields get the default.
type Limits struct {
	Conns       int           // accepted connections; default 512
	Exchanges   int           // requests and tunnels under way; default 256
	PerMinute   int           // requests and tunnels to one destination; default as in pipelock.yaml
	HostBytes   int64         // out to one plain destination in a run; default 4 GiB
	BottleBytes int64         // out to all destinations in a run; default 64 GiB
	Head        time.Duration // to receive a request head; default 10 s
	KeepAlive   time.Duration // between two requests of a connection; default 60 s
	Hello       time.Duration // to receive a whole TLS client hello; default 10 s
	Answer      time.Duration // for the upstream's first word to a hello; default 60 s
	Idle        time.Duration // without a byte in either direction; default as in pipelock.yaml
	Stall       time.Duration // for one write of an answer; default 60 s
	Headers     time.Duration // for the head of a plain answer; default 5 min
	Totals      time.Duration // between two reports of bytes; default 1 min
}

func (l Limits) withDefaults() Limits {
	l.Conns = cmp.Or(l.Conns, 512)
	l.Exchanges = cmp.Or(l.Exchanges, 256)
	l.PerMinute = cmp.Or(l.PerMinute, perMinute)
	l.HostBytes = cmp.Or(l.HostBytes, 4<<30)
	l.BottleBytes = cmp.Or(l.BottleBytes, 64<<30)
	l.Head = cmp.Or(l.Head, 10*time.Second)
	l.KeepAlive = cmp.Or(l.KeepAlive, time.Minute)
	l.Hello = cmp.Or(l.Hello, 10*time.Second)
	l.Answer = cmp.Or(l.Answer, time.Minute)
	l.Idle = cmp.Or(l.Idle, tunnelSeconds*time.Second)
	l.Stall = cmp.Or(l.Stall, time.Minute)
	l.Headers = cmp.Or(l.Headers, 5*time.Minute)
	l.Totals = cmp.Or(l.Totals, time.Minute)
	return l
}

// maxHead bounds a request head; net/http adds 4 KiB of slack on top.
const maxHead = 16 << 10

// Config is what a [Server] needs. Policy and Log are required by sense: the zero
// Policy allows nothing, a nil Log drops the lines.
type Config struct {
	Policy  Policy
	Dialer  netguard.Dialer
	Egress  netip.Addr // where routed hosts are served, each on its own port; default 127.0.0.2
	Via     *Via       // nil: this engine does all by itself
	Log     io.Writer
	Limits  Limits
	Secrets *requestscan.Scanner // nil: one of its own
	Now     func() time.Time     // nil: time.Now
}

// Server is the builtin firewall engine. Make it with [NewServer].
type Server struct {
	policy    atomic.Pointer[Policy]
	canaries  atomic.Pointer[canary.Finder]
	dialer    netguard.Dialer
	egress    netip.Addr
	via       *Via
	journal   *journal.Journal[line]
	meter     *meter
	scanner   *requestscan.Scanner
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
		dialer: config.Dialer, egress: config.Egress, via: config.Via, scanner: config.Secrets, now: config.Now,
		limits: config.Limits.withDefaults(), exchanges: map[*exchange]struct{}{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if !s.egress.IsValid() {
		s.egress = DefaultEgress()
	}
	if config.Log == nil {
		config.Log = io.Discard
	}
	if s.scanner == nil {
		s.scanner = &requestscan.Scanner{}
	}
	s.journal, s.meter = journal.New[line](config.Log, s.now), newMeter(s.limits, s.now)
	s.transport = s.newTransport()
	if err := s.Reload(config.Policy); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload replaces the policy at once for every request, and cuts what is under way by a
// route that is gone or has changed. A policy that is not valid is refused and the old
// one stays.
func (s *Server) Reload(policy Policy) error {
	if err := policy.Validate(); err != nil {
		return err
	}
	policy = policy.sorted()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policy.Store(&policy)
	s.canaries.Store(canary.NewFinder(policy.Canaries))
	for e := range s.exchanges {
		now := Decide(policy, e.method, e.target)
		if e.decision.Allow && (!now.Allow || !now.Route.equal(e.decision.Route)) {
			e.cancel(errRevoked)
		}
	}
	return nil
}

// turnedAway is the answer to the connection after the last one.
const turnedAway = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain\r\n" +
	"X-Bottle-Reason: too many connections\r\nContent-Length: 29\r\n\r\nbottle: too many connections\n"

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
	s.journal.Write(line{Event: eventReady, Listen: listener.Addr().String(), Routes: s.routes()})
	var background sync.WaitGroup
	background.Go(func() { s.reportTotals(ctx) })
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	err := server.Serve(&boundedlisten.Listener{Listener: listener, Slots: make(chan struct{}, s.limits.Conns), Answer: turnedAway})
	cancel()
	if !stop() {
		err = nil // the caller ended it
	}
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	_ = server.Close()
	s.running.Wait()
	background.Wait()
	s.writeTotals()
	s.journal.Close()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the firewall: %w", err)
	}
	return nil
}

func (s *Server) routes() *int {
	n := len(s.policy.Load().Hosts)
	return &n
}

func (s *Server) reportTotals(ctx context.Context) {
	ticker := time.NewTicker(s.limits.Totals)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.writeTotals()
		}
	}
}

func (s *Server) writeTotals() {
	for _, l := range s.meter.totals() {
		s.journal.Write(l)
	}
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, full := s.begin(r)
	defer s.end(e)
	// Whoever asks without reading the answers is not waited for.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.limits.Stall))
	hasBody := r.ContentLength != 0 || len(r.TransferEncoding) > 0
	if e.decision.Rule == RuleHealth && !hasBody {
		s.health(w, r)
		return
	}
	if d, refused := s.judge(r, e, full, hasBody); refused {
		s.refuse(w, e, d)
		return
	}
	if e.method == http.MethodConnect {
		s.connect(w, e)
		return
	}
	s.forward(w, r, e)
}

// judge applies the rules that need more than the request line.
func (s *Server) judge(r *http.Request, e *exchange, full string, hasBody bool) (Decision, bool) {
	if found, isCanary := s.canaryIn(r, e); isCanary {
		return found, true
	}
	d := e.decision.judge(s.scanner, Request{Method: e.method, Target: e.target, Header: r.Header, HasBody: hasBody})
	switch {
	case !d.Allow:
		return d, true
	case full != "":
		return d.refuse(RuleLimit, "%s", full), true
	}
	if err := e.spend(0); err != nil {
		return d.refuse(RuleBudget, "%s: %v", d.Route, err), true
	}
	if !e.account.request() {
		return d.refuse(RuleRate, "%s: %d requests in a minute are too many", d.Route, s.limits.PerMinute), true
	}
	return d, false
}
