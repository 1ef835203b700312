package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// Why an exchange was ended from inside.
var (
	errRevoked = errors.New("its route was taken away")
	errIdle    = errors.New("it was idle for too long")
)

// exchange is one request on its way, or one tunnel for as long as it lives.
type exchange struct {
	id       uint64
	method   string
	target   string
	started  time.Time
	ctx      context.Context // the request's own, with a cause
	cancel   context.CancelCauseFunc
	decision Decision
	up, down atomic.Int64
	status   int
	counted  bool // by Server.running
}

// begin registers a request; a non-empty answer means that there are too many.
func (s *Server) begin(r *http.Request) (e *exchange, full string) {
	e = &exchange{id: s.serial.Add(1), method: r.Method, target: r.RequestURI, started: s.now()}
	e.ctx, e.cancel = context.WithCancelCause(r.Context())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return e, "the firewall is closing"
	}
	e.counted = true
	s.running.Add(1)
	switch {
	case len(s.exchanges) >= s.limits.Exchanges:
		full = fmt.Sprintf("%d requests and tunnels are open already", s.limits.Exchanges)
	default:
		s.exchanges[e] = struct{}{}
	}
	return e, full
}

func (s *Server) end(e *exchange) {
	e.cancel(nil)
	s.mu.Lock()
	delete(s.exchanges, e)
	s.mu.Unlock()
	if e.counted {
		s.running.Done()
	}
}

// refuse answers with the reason: one problem line, then the hint.
func (s *Server) refuse(w http.ResponseWriter, e *exchange, d Decision) {
	s.logDeny(e, d)
	header := w.Header()
	header.Set("X-Bottle-Reason", d.Reason)
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set("Connection", "close") // nothing that follows a refused request is read
	w.WriteHeader(d.Status())
	body := "bottle: " + d.Reason + "\n"
	if d.Hint != "" {
		body += "hint: " + d.Hint + "\n"
	}
	_, _ = w.Write([]byte(body))
}

func (s *Server) health(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = fmt.Fprintf(w, `{"status":"ok","engine":"builtin","routes":%d}`+"\n", *s.routes())
}

func (s *Server) lineOf(e *exchange, event string, d Decision) line {
	return line{
		Event: event, ID: e.id, Method: printable(e.method, 16), Host: d.Target.Host, Port: d.Target.Port,
		Path: printable(d.Target.Path, 256), Rule: d.Rule, Reason: d.Reason,
	}
}

func (s *Server) logDeny(e *exchange, d Decision) {
	event := eventDeny
	if d.Rule == RuleResolve || d.Rule == RuleDial {
		event = eventFail
	}
	l := s.lineOf(e, event, d)
	l.Status = d.Status()
	l.Millis = s.since(e)
	s.journal.write(l)
}

// logAllow comes before the first byte to the upstream.
func (s *Server) logAllow(e *exchange, address string) {
	l := s.lineOf(e, eventAllow, e.decision)
	l.Address = address
	s.journal.write(l)
}

func (s *Server) logClose(e *exchange, reason string) {
	l := s.lineOf(e, eventClose, e.decision)
	up, down := e.up.Load(), e.down.Load()
	l.Reason, l.Status, l.Up, l.Down, l.Millis = reason, e.status, &up, &down, s.since(e)
	s.journal.write(l)
}

func (s *Server) since(e *exchange) *float64 {
	millis := float64(s.now().Sub(e.started).Microseconds()) / 1000
	return &millis
}
