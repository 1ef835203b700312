package firewall

import (
	"errors"
	"os"
	"time"

	"bottle.internal/internal/firewall/clienthello"
)

// copyUp sends the hello, which was read before the tunnel was known to be right. What
// follows waits for the upstream's answer: it may ask for a second hello, and that one
// must name the same host.
func (s *Server) copyUp(e *exchange, p pipe, hello []byte, answered <-chan clienthello.Answer) string {
	if err := p.write(hello); err != nil {
		p.broken()
		return "the upstream went away"
	}
	answer, ok := <-answered
	if !ok {
		return endClean // the other direction says why
	}
	if answer.Retry {
		if err := s.secondHello(e, p); err != nil {
			p.broken()
			return "the client broke off"
		}
	}
	return p.run()
}

// secondHello holds what the client says after a retry request to the first hello's host.
func (s *Server) secondHello(e *exchange, p pipe) error {
	_ = p.src.SetReadDeadline(time.Now().Add(s.limits.Hello))
	hello, err := clienthello.ReadRetry(p.src, p.write)
	_ = p.src.SetReadDeadline(time.Time{})
	refused, isRefused := s.checkHello(e.decision, hello)
	var problem clienthello.Problem
	switch {
	case errors.As(err, &problem) && problem != clienthello.CutShort:
		refused = e.decision.refuse(RuleTLS, "%s: %v", e.decision.Route, problem)
	case errors.Is(err, os.ErrDeadlineExceeded):
		refused = e.decision.refuse(RuleTLS, "%s: no second client hello within %v", e.decision.Route, s.limits.Hello)
	case err != nil:
		return err
	case !isRefused:
		return p.write(hello.Raw)
	}
	s.logDeny(e, refused)
	e.cancel(errOtherHello)
	return errOtherHello
}

// copyDown looks at the first bytes of the upstream before it passes them on.
func (s *Server) copyDown(e *exchange, p pipe, answered chan<- clienthello.Answer) string {
	defer close(answered)
	_ = p.src.SetReadDeadline(time.Now().Add(s.limits.Answer))
	answer, err := clienthello.ReadAnswer(p.src)
	_ = p.src.SetReadDeadline(time.Time{})
	switch {
	case errors.Is(err, clienthello.NotTLS):
		e.cancel(errNotTLS)
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.cancel(errSilent)
	}
	if err != nil {
		if len(answer.Raw) > 0 && errors.Is(err, clienthello.CutShort) {
			_ = p.write(answer.Raw)
		}
		p.broken()
		return "the upstream went away"
	}
	if err := p.write(answer.Raw); err != nil {
		return "one side stopped reading"
	}
	answered <- answer
	return p.run()
}
