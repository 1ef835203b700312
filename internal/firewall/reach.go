package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"bottle.internal/internal/netguard"
)

// refusal is a [Decision] against a request, on its way through code that returns errors.
type refusal struct{ Decision }

func (r *refusal) Error() string { return r.Reason }

// DefaultEgress is egress's own address in the bundle; nothing else listens on it.
func DefaultEgress() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 2}) }

// egressDial bounds a connection to a neighbour.
const egressDial = 5 * time.Second

// maxWhy bounds the reason of a connection that failed.
const maxWhy = 80

// reach connects to the host of an allowed request: a plain one under the guard, a routed
// one by way of egress, without a question to any resolver.
func (s *Server) reach(ctx context.Context, allowed Decision) (net.Conn, netip.AddrPort, error) {
	route := allowed.Route
	if s.via != nil {
		return s.reachVia(ctx, allowed)
	}
	if route.Mode == Routed {
		dialer, addr := net.Dialer{Timeout: egressDial}, netip.AddrPortFrom(s.egress, route.Port)
		conn, err := dialer.DialContext(ctx, "tcp", addr.String())
		if err != nil {
			return nil, addr, &refusal{allowed.refuse(RuleDial, "%s: egress does not answer: %s", route, netguard.Briefly(err, maxWhy))}
		}
		return conn, addr, nil
	}
	conn, addr, err := s.dialer.Dial(ctx, route.Host, route.Port, route.opened())
	var refused *netguard.RefusedError
	var unresolved *netguard.ResolveError
	switch {
	case err == nil:
		return conn, addr, nil
	case errors.As(err, &refused):
		return nil, addr, &refusal{allowed.refuse(RuleAddress, "%s resolves to a refused address: %s", route, refused.Reason)}
	case errors.As(err, &unresolved):
		return nil, addr, &refusal{allowed.refuse(RuleResolve, "%s", whyUnresolved(unresolved))}
	}
	return nil, addr, &refusal{allowed.refuse(RuleDial, "%s does not answer: %s", route, netguard.Briefly(err, maxWhy))}
}

func whyUnresolved(e *netguard.ResolveError) string {
	switch {
	case e.Err == nil:
		return e.Error()
	case e.Count > 0:
		return fmt.Sprintf("%s has %d addresses, which is too many", e.Host, e.Count)
	}
	return fmt.Sprintf("%s has no address: %s", e.Host, netguard.Briefly(e.Err, maxWhy))
}
