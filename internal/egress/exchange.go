package egress

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bottle.internal/internal/printable"
	"bottle.internal/internal/urlpart/hostname"
)

// exchange is one request on its way.
type exchange struct {
	id      uint64
	target  target
	head    Head
	started time.Time
	ctx     context.Context // the request's own, with a cause
	cancel  context.CancelCauseFunc
	snap    *snapshot
	route   *route // nil: none
	hidden  bool   // the path is not fit for the log
	up      atomic.Int64
	down    atomic.Int64
	status  int
	allowed atomic.Bool // logged
	begun   atomic.Bool // the answer is on its way
	moved   atomic.Int64
	clock   time.Time
	idle    *time.Timer
	unhook  func() bool
	unhung  chan struct{}
	counted bool
	control *http.ResponseController
	unread  bool // HTTP/1 may hold bytes of the body that nobody asked for

	hints sync.Mutex
	final bool // no hints any more
}

// begin registers a request; a refusal means that there are too many.
func (s *Server) begin(port uint16, w http.ResponseWriter, r *http.Request) (*exchange, *Refusal) {
	e := &exchange{
		id: s.serial.Add(1), started: s.now(), clock: time.Now(), unhung: make(chan struct{}),
		head: Head{Method: r.Method, Target: r.RequestURI, Authority: r.Host, Upgrade: asksUpgrade(r), HasBody: r.ContentLength != 0},
	}
	e.target = target{port: port}
	if r.TLS != nil {
		e.target.host, _ = hostname.Canonical(r.TLS.ServerName)
	}
	e.ctx, e.cancel = context.WithCancelCause(r.Context())
	e.up.Store(int64(len(r.RequestURI)))
	e.control, e.unread = http.NewResponseController(w), r.ProtoMajor == 1 && e.head.HasBody
	if e.unread && r.Header.Get("Expect") == "" {
		// Otherwise net/http throws away what is left of the body once the answer begins, while
		// the upstream still reads it.
		_ = e.control.EnableFullDuplex()
	}
	e.watchOver(s.limits.Idle)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return e, refuse(RuleLimit, "egress is closing")
	}
	e.counted = true
	s.running.Add(1)
	if len(s.exchanges) >= s.limits.Exchanges {
		return e, refuse(RuleLimit, "%d requests are under way already", s.limits.Exchanges)
	}
	s.exchanges[e] = struct{}{}
	return e, nil
}

func (s *Server) end(e *exchange) {
	e.idle.Stop()
	if !e.unhook() {
		<-e.unhung // it must not touch the connection after the handler
	}
	if e.unread {
		// net/http drains what is left of the body, and would wait for it for ever.
		_ = e.control.SetReadDeadline(time.Now().Add(s.limits.Head))
	}
	e.cancel(nil)
	s.mu.Lock()
	delete(s.exchanges, e)
	s.mu.Unlock()
	if e.counted {
		s.running.Done()
	}
}

// watchOver ends the exchange when nothing moves in either direction, and takes a handler
// that is stuck in a read or a write off the connection once the exchange is ended.
func (e *exchange) watchOver(limit time.Duration) {
	e.idle = time.AfterFunc(2*limit, func() {
		if quiet := time.Since(e.clock) - time.Duration(e.moved.Load()); quiet < limit && e.ctx.Err() == nil {
			e.idle.Reset(limit - quiet)
			return
		}
		e.cancel(refuse(RuleIdle, "nothing moved for %v", limit))
	})
	e.idle.Reset(limit) // the function uses e.idle: not before it is set
	e.unhook = context.AfterFunc(e.ctx, func() {
		defer close(e.unhung)
		past := time.Unix(1, 0)
		_ = e.control.SetReadDeadline(past)
		if e.begun.Load() {
			_ = e.control.SetWriteDeadline(past)
		}
	})
}

// touch says that something moved.
func (e *exchange) touch() { e.moved.Store(int64(time.Since(e.clock))) }

// cause is why the exchange was ended from inside, if it was.
func (e *exchange) cause() *Refusal {
	refused, _ := errors.AsType[*Refusal](context.Cause(e.ctx))
	return refused
}

// answerRefusal tells the agent why.
func (s *Server) answerRefusal(w http.ResponseWriter, r *http.Request, e *exchange, refused *Refusal) {
	s.logRefusal(e, refused)
	header := w.Header()
	clear(header)
	header.Set("X-Bottle-Reason", refused.Reason)
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	if r.ProtoMajor == 1 {
		header.Set("Connection", "close") // nothing that follows a refused request is read
	}
	w.WriteHeader(refused.Status())
	_, _ = w.Write(refused.body())
}

func (s *Server) lineOf(e *exchange, event string) line {
	l := line{Event: event, ID: e.id, Method: printable.ASCII(e.head.Method, 16), Host: e.target.host, Port: e.target.port}
	path, _, _ := strings.Cut(e.head.Target, "?")
	l.Path = printable.ASCII(path, 256)
	if e.hidden || !strings.HasPrefix(path, "/") {
		l.Path = "[redacted]"
	}
	if e.route != nil {
		l.Route = &e.route.index
		l.Path = e.route.secrets().Redact(l.Path)
	}
	return l
}

func (s *Server) logRefusal(e *exchange, refused *Refusal) {
	event := eventDeny
	switch refused.Rule {
	case RuleToken, RuleResolve, RuleDial, RuleTLS, RuleAnswer, RuleIdle, RuleClient:
		event = eventFail
	case RuleCanary:
		event = eventClose // the sighting itself was logged
	}
	l := s.lineOf(e, event)
	l.Rule, l.Reason, l.Status = refused.Rule, refused.Reason, refused.Status()
	s.counts(&l, e)
	s.journal.Write(l)
}

// logAllow comes before the first byte to the upstream.
func (s *Server) logAllow(e *exchange, address string) {
	if e.allowed.Swap(true) {
		return // a second try
	}
	l := s.lineOf(e, eventAllow)
	l.Address = address
	s.journal.Write(l)
}

func (s *Server) logClose(e *exchange, refused *Refusal) {
	l := s.lineOf(e, eventClose)
	l.Status = e.status
	if refused != nil {
		l.Rule, l.Reason = refused.Rule, refused.Reason
	}
	s.counts(&l, e)
	s.journal.Write(l)
}

func (s *Server) logSighting(e *exchange, found *sighting) {
	l := s.lineOf(e, found.event)
	l.Rule, l.Reason, l.Blocked = RuleCanary, found.what+" in the "+found.where, &found.block
	l.Where, l.Print = found.where, found.fingerprint
	s.journal.Write(l)
}

func (s *Server) counts(l *line, e *exchange) {
	up, down := e.up.Load(), e.down.Load()
	millis := float64(s.now().Sub(e.started).Microseconds()) / 1000
	l.Up, l.Down, l.Millis = &up, &down, &millis
}
