package firewall

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"bottle.internal/internal/boundedlisten"
	"bottle.internal/internal/firewall/clienthello"
	"bottle.internal/internal/firewall/requestscan"
	"bottle.internal/internal/netguard"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/urlpart/hostname"
)

const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// accessDenied is a fatal TLS alert record: what a client in a handshake understands.
const accessDenied = "\x15\x03\x01\x00\x02\x02\x31"

// connect opens a tunnel: the upstream first, so that its absence is an answer to
// CONNECT, then the client's hello, and only then a byte to the upstream.
func (s *Server) connect(w http.ResponseWriter, e *exchange) {
	upstream, addr, err := s.reach(e.ctx, e.decision)
	if err != nil {
		s.refuse(w, e, asRefusal(e, err))
		return
	}
	defer func() { _ = upstream.Close() }()
	client, err := hijack(w)
	if err != nil {
		s.logDeny(e, e.decision.refuse(RuleLimit, "taking the connection over failed"))
		return
	}
	defer func() { _ = client.Close() }()
	// From here on an end of the exchange is an end of both connections.
	stop := context.AfterFunc(e.ctx, func() {
		_ = client.Close()
		_ = upstream.Close()
	})
	defer stop()

	hello, err := s.greet(client, e)
	if err != nil {
		s.refuseTLS(client, e, err)
		return
	}
	s.logAllow(e, addr.String())
	e.status = http.StatusOK
	s.logClose(e, s.splice(e, &spliced{client: client, upstream: upstream, hello: hello}))
}

// tunnelConn is a client connection with the bytes that net/http had read ahead.
type tunnelConn struct {
	net.Conn
	early *bytes.Reader
}

// Read implements [io.Reader].
func (c *tunnelConn) Read(p []byte) (int, error) {
	if c.early.Len() > 0 {
		return c.early.Read(p)
	}
	return c.Conn.Read(p)
}

// CloseWrite half-closes; the embedded interface would hide it.
func (c *tunnelConn) CloseWrite() error { return boundedlisten.CloseWrite(c.Conn) }

func hijack(w http.ResponseWriter) (*tunnelConn, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	early, _ := buffered.Peek(buffered.Reader.Buffered())
	return &tunnelConn{Conn: conn, early: bytes.NewReader(bytes.Clone(early))}, nil
}

// greet tells the client that the tunnel is open, and reads what it says first. One
// deadline covers all of it: a client that drips bytes gains nothing.
func (s *Server) greet(client net.Conn, e *exchange) ([]byte, error) {
	_ = client.SetDeadline(time.Now().Add(s.limits.Hello))
	if _, err := io.WriteString(client, established); err != nil {
		return nil, clienthello.CutShort
	}
	hello, err := clienthello.Read(client)
	if errors.Is(err, clienthello.CutShort) && len(hello.Raw) == 0 {
		return nil, errNoHello
	}
	if err != nil {
		return nil, err
	}
	_ = client.SetDeadline(time.Time{})
	if d, refused := s.checkHello(e.decision, hello); refused {
		return nil, &refusal{d}
	}
	return hello.Raw, nil
}

var errNoHello = errors.New("the client left before its hello")

// checkHello tells why a hello is refused, without a secret that it may name.
func (s *Server) checkHello(allowed Decision, hello clienthello.Hello) (Decision, bool) {
	d, ok := checkHello(allowed, hello)
	if ok {
		return d, false
	}
	if fingerprint, found := s.canaries.Load().Find(hello.ServerName); found {
		return s.withCanary(allowed, fingerprint, "client hello"), true
	}
	switch rule, err := s.scanner.Find(requestscan.Views(hello.ServerName)...); {
	case err != nil:
		d = d.refuse(d.Rule, "%s: the client hello names another host", allowed.Route)
	case rule != "":
		d = d.refuse(RuleSecret, "%s: the client hello holds a secret (gitleaks: %s)", allowed.Route, rule)
	}
	return d, true
}

// checkHello holds TLS to the host that CONNECT named.
func checkHello(allowed Decision, hello clienthello.Hello) (Decision, bool) {
	route := allowed.Route
	named, err := hostname.Canonical(hello.ServerName)
	switch {
	case hello.Encrypted:
		return allowed.refuse(RuleTLS, "%s: the client hello is encrypted (ECH), so its host cannot be checked", route), false
	case hostname.IsIP(route.Host) && hello.ServerName == "":
		return allowed, true // RFC 6066: no SNI for addresses
	case hello.ServerName == "":
		return allowed.refuse(RuleSNI, "%s: the client hello names no host (SNI)", route), false
	case err != nil || named != route.Host:
		return allowed.refuse(RuleSNI, `%s: the client hello names "%s" instead`, route, printable.ASCII(hello.ServerName, 80)), false
	}
	return allowed, true
}

// refuseTLS ends a tunnel before a byte of it went out. CONNECT was answered already,
// so that a TLS client gets an alert and everybody else the end of the connection.
func (s *Server) refuseTLS(client net.Conn, e *exchange, err error) {
	var refused *refusal
	var problem clienthello.Problem
	d := e.decision
	switch {
	case errors.Is(err, errNoHello):
		s.logClose(e, err.Error())
		return
	case errors.As(err, &refused):
		d = refused.Decision
	case errors.As(err, &problem):
		d = d.refuse(RuleTLS, "%s: %v", d.Route, problem)
	case e.ctx.Err() != nil:
		d = d.refuse(RuleRevoked, "%s: %v", d.Route, context.Cause(e.ctx))
	case errors.Is(err, os.ErrDeadlineExceeded):
		d = d.refuse(RuleTLS, "%s: no client hello within %v", d.Route, s.limits.Hello)
	default:
		d = d.refuse(RuleTLS, "%s: the client hello could not be read", d.Route)
	}
	s.logDeny(e, d)
	if problem != clienthello.NotTLS {
		_ = client.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(client, accessDenied)
	}
}

// asRefusal turns an error of reach into the decision to answer with.
func asRefusal(e *exchange, err error) Decision {
	var refused *refusal
	switch {
	case errors.Is(context.Cause(e.ctx), errRevoked):
		return e.decision.refuse(RuleRevoked, "%s: %v", e.decision.Route, errRevoked)
	case errors.As(err, &refused):
		return refused.Decision
	}
	return e.decision.refuse(RuleDial, "%s does not answer: %s", e.decision.Route, netguard.Briefly(err, maxWhy))
}
