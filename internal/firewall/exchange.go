package firewall

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"bottle.internal/internal/printable"
)

// ending says why an exchange was ended from inside; the log shows it.
type ending string

// Error implements error.
func (e ending) Error() string { return string(e) }

const (
	errRevoked      ending = "its route was taken away"
	errIdle         ending = "it was idle for too long"
	errSilent       ending = "the upstream did not answer the client hello in time"
	errNotTLS       ending = "the upstream does not answer with TLS"
	errOtherHello   ending = "the second client hello was refused"
	errHostBudget   ending = "this host took all the bytes that one host may take in a run"
	errCanary       ending = "a canary came back"
	errBottleBudget ending = "this bottle sent all the bytes that it may send in a run"
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
	account  *account // nil unless allowed
	up, down atomic.Int64
	status   int
	counted  bool // by Server.running
}

// begin registers a request and decides on it, both at once, so that no reload falls in
// between. A non-empty answer means that there are too many.
func (s *Server) begin(r *http.Request) (e *exchange, full string) {
	e = &exchange{id: s.serial.Add(1), method: r.Method, target: r.RequestURI, started: s.now()}
	e.ctx, e.cancel = context.WithCancelCause(r.Context())
	s.mu.Lock()
	defer s.mu.Unlock()
	e.decision = Decide(*s.policy.Load(), e.method, e.target)
	if e.decision.Allow && e.decision.Rule == RuleRoute {
		e.account = s.meter.open(e.decision.Route)
	}
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

// spend takes n bytes from the budgets; where there is no room it ends the exchange.
func (e *exchange) spend(n int) error {
	err := e.account.spend(int64(n), e.decision.Route.Mode)
	if err != nil {
		e.cancel(err)
	}
	return err
}

// sent and received count what has passed.
func (e *exchange) sent(n int) { e.up.Add(int64(n)) }

func (e *exchange) received(n int) {
	e.down.Add(int64(n))
	e.account.down.Add(int64(n))
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

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	status, engine, code := "ok", "builtin", http.StatusOK
	if s.via != nil {
		engine = s.via.Name
		if err := s.askHealth(r.Context()); err != nil {
			status, code = "down", http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, `{"status":%q,"engine":%q,"routes":%d}`+"\n", status, engine, *s.routes())
}

func (s *Server) lineOf(e *exchange, event string, d Decision) line {
	return line{
		Event: event, ID: e.id, Method: methodOf(e, d), Host: d.Target.Host, Port: d.Target.Port,
		Path: printable.ASCII(d.Target.Path, 256), Rule: d.Rule, Reason: d.Reason,
	}
}

// methodOf leaves a method out that may be the secret itself.
func methodOf(e *exchange, d Decision) string {
	if (d.Rule == RuleSecret || d.Rule == RuleCanary) && !slices.Contains([]string{http.MethodConnect, http.MethodGet, http.MethodHead}, e.method) {
		return ""
	}
	return printable.ASCII(e.method, 16)
}

func (s *Server) logDeny(e *exchange, d Decision) {
	event := eventDeny
	switch d.Rule {
	case RuleResolve, RuleDial:
		event = eventFail
	case RuleCanary:
		event = eventCanary
	}
	l := s.lineOf(e, event, d)
	if event == eventCanary {
		l.Where, l.Print, l.Blocked = d.Where, d.Print, new(true)
	}
	l.Status = d.Status()
	l.Millis = s.since(e)
	s.journal.Write(l)
}

// logAllow comes before the first byte to the upstream.
func (s *Server) logAllow(e *exchange, address string) {
	l := s.lineOf(e, eventAllow, e.decision)
	l.Address = address
	s.journal.Write(l)
}

func (s *Server) logClose(e *exchange, reason string) {
	l := s.lineOf(e, eventClose, e.decision)
	up, down := e.up.Load(), e.down.Load()
	l.Reason, l.Status, l.Up, l.Down, l.Millis = reason, e.status, &up, &down, s.since(e)
	s.journal.Write(l)
}

func (s *Server) since(e *exchange) *float64 {
	millis := float64(s.now().Sub(e.started).Microseconds()) / 1000
	return &millis
}
