package firewall

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"bottle.internal/internal/netguard"
	"bottle.internal/internal/printable"
)

// Via is another engine behind this one, which then is the gate in front of it: what this
// one allows is asked of the other, and nothing else reaches it. The other resolves and
// dials by itself.
type Via struct {
	// Name says which engine it is, in answers and logs.
	Name string
	// Proxy is where it takes CONNECT and absolute URLs.
	Proxy netip.AddrPort
	// Admit refuses a route that the engine would lead somewhere else than this one; its
	// error is one line for the agent. nil admits all.
	Admit func(Host) error
}

// viaAnswer bounds the wait for the engine's own upstream.
const viaAnswer = 2 * time.Minute

// reachVia opens a tunnel through the other engine, or for a plain request only a
// connection to it.
func (s *Server) reachVia(ctx context.Context, allowed Decision) (net.Conn, netip.AddrPort, error) {
	route, via := allowed.Route, s.via
	if via.Admit != nil {
		if err := via.Admit(route); err != nil {
			return nil, via.Proxy, &refusal{allowed.refuse(RuleAddress, "%s: %v", route, err)}
		}
	}
	dialer := net.Dialer{Timeout: egressDial}
	conn, err := dialer.DialContext(ctx, "tcp", via.Proxy.String())
	if err != nil {
		return nil, via.Proxy, &refusal{allowed.refuse(RuleDial, "%s: %s does not answer: %s", route, via.Name, netguard.Briefly(err, maxWhy))}
	}
	if route.Scheme == HTTP {
		return conn, via.Proxy, nil
	}
	if d, refused := openTunnel(ctx, conn, allowed, via.Name); refused {
		_ = conn.Close()
		return nil, via.Proxy, &refusal{d}
	}
	return conn, via.Proxy, nil
}

// openTunnel sends a CONNECT that is written from checked parts; of the agent's request
// nothing else is passed on.
func openTunnel(ctx context.Context, conn net.Conn, allowed Decision, engine string) (Decision, bool) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(viaAnswer))
	broken := allowed.refuse(RuleDial, "%s: %s does not answer", allowed.Route, engine)
	if _, err := fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", allowed.Route); err != nil {
		return broken, true
	}
	// One byte at a time: what follows the answer belongs to the tunnel.
	reader := bufio.NewReaderSize(oneByte{io.LimitReader(conn, maxHead)}, 16)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return broken, true
	}
	_ = response.Body.Close()
	switch {
	case response.StatusCode == http.StatusForbidden:
		return allowed.refuse(RuleEngine, "%s: %s refuses it", allowed.Route, engine), true
	case response.StatusCode != http.StatusOK:
		return allowed.refuse(RuleDial, "%s: %s answers %d", allowed.Route, engine, response.StatusCode), true
	}
	_ = conn.SetDeadline(time.Time{})
	return allowed, false
}

type oneByte struct{ io.Reader }

// Read implements [io.Reader].
func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 1)]) }

// askHealth asks the other engine for its health.
func (s *Server) askHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, egressDial)
	defer cancel()
	return CheckHealth(ctx, s.via.Proxy)
}

// CheckHealth asks an engine at addr for GET /health once; nil means 200.
func CheckHealth(ctx context.Context, addr netip.AddrPort) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String()+"/health", http.NoBody)
	if err != nil {
		return fmt.Errorf("asking %s for its health: %w", addr, err)
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: maxHead},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("asking %s for its health: %w", addr, err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("asking %s for its health: it answers %d", addr, response.StatusCode)
	}
	return nil
}

// EngineEvent is what another engine says about its work, without anything that could be
// secret.
type EngineEvent struct {
	Kind    string // such as "blocked"
	Denied  bool   // held back when too many come at once
	Method  string
	Host    string // only if it is declared
	Scanner string
	Reason  string
}

// Record writes an event of the other engine to the log.
func (s *Server) Record(e EngineEvent) {
	host := ""
	for _, declared := range s.policy.Load().Hosts {
		if declared.Host == e.Host {
			host = e.Host
		}
	}
	s.journal.Write(line{
		Event: eventEngine, Kind: printable.ASCII(e.Kind, 40), Method: printable.ASCII(e.Method, 16), Host: host,
		Scanner: printable.ASCII(e.Scanner, 40), Reason: printable.ASCII(e.Reason, 200), held: e.Denied,
	})
}
