package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"bottle.internal/internal/firewall/hostname"
)

// Resolver finds the addresses of a name; [net.Resolver] is one. The name arrives in
// canonical form, without a trailing dot.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// DialFunc connects to one address that was checked before.
type DialFunc func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)

// SystemResolver asks the nameserver of resolv.conf.
type SystemResolver struct{}

// LookupNetIP implements [Resolver]. The trailing dot keeps the search list out: only the
// very name that was allowed is asked for. Go hands IPv4 answers out in IPv6 form, so
// that they are unmapped here and judged as the IPv4 address that would be dialed.
func (SystemResolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	resolver := net.Resolver{PreferGo: true}
	addrs, err := resolver.LookupNetIP(ctx, network, host+".")
	for i, addr := range addrs {
		addrs[i] = addr.Unmap()
	}
	return addrs, err
}

func systemDial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", addr.String())
}

// refusal is a [Decision] against a request, on its way through code that returns errors.
type refusal struct{ Decision }

func (r *refusal) Error() string { return r.Reason }

const (
	maxAddrs   = 64 // more than this in one answer is an attack, not a service
	dialTries  = 4
	eachDial   = 5 * time.Second
	resolveMax = 5 * time.Second
)

// reach resolves the route's host once, checks every address of the answer, and dials
// those very addresses: a second answer (DNS rebinding) is never asked for.
func (s *Server) reach(ctx context.Context, allowed Decision) (net.Conn, netip.AddrPort, error) {
	addrs, err := s.resolve(ctx, allowed)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	for _, addr := range addrs {
		if why := s.guard.check(addr, allowed.Route.opened()); why != "" {
			return nil, netip.AddrPort{}, &refusal{allowed.refuse(RuleAddress, "%s resolves to a refused address: %s", allowed.Route, why)}
		}
	}
	// IPv4 first: the bundle's own network always has it.
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	for _, addr := range addrs[:min(len(addrs), dialTries)] {
		to := netip.AddrPortFrom(addr, allowed.Route.Port)
		var conn net.Conn
		if conn, err = s.dialOne(ctx, to); err == nil {
			return conn, to, nil
		}
	}
	return nil, netip.AddrPort{}, &refusal{allowed.refuse(RuleDial, "%s does not answer: %s", allowed.Route, briefly(err))}
}

func (s *Server) dialOne(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, eachDial)
	defer cancel()
	return s.dial(ctx, addr)
}

func (s *Server) resolve(ctx context.Context, allowed Decision) ([]netip.Addr, error) {
	host := allowed.Route.Host
	if hostname.IsIP(host) {
		return []netip.Addr{netip.MustParseAddr(host)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveMax)
	defer cancel()
	addrs, err := s.resolver.LookupNetIP(ctx, "ip", host)
	switch {
	case err != nil:
		return nil, &refusal{allowed.refuse(RuleResolve, "%s has no address: %s", host, briefly(err))}
	case len(addrs) == 0:
		return nil, &refusal{allowed.refuse(RuleResolve, "%s has no address: the answer is empty", host)}
	case len(addrs) > maxAddrs:
		return nil, &refusal{allowed.refuse(RuleResolve, "%s has %d addresses, more than %d", host, len(addrs), maxAddrs)}
	}
	return slices.Clone(addrs), nil
}

// briefly keeps addresses of nameservers and sockets out of what the agent reads.
func briefly(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	case errors.As(err, &dns):
		return "the nameserver failed"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return printable(op.Err.Error(), 80)
	}
	return printable(fmt.Sprint(err), 80)
}
