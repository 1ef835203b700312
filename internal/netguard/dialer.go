package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"bottle.internal/internal/urlpart/hostname"
)

// Resolver finds the addresses of a name. The name arrives in canonical form, without a
// trailing dot.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// ConnectFunc connects to one address that was checked before.
type ConnectFunc func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)

// Dialer connects to names under the guard. The zero Dialer asks the nameserver of
// resolv.conf and connects over TCP.
type Dialer struct {
	Resolver Resolver
	Connect  ConnectFunc
}

// Dial's bounds.
const (
	maxAddrs   = 64 // more than this in one answer is an attack, not a service
	dialTries  = 4
	eachDial   = 5 * time.Second
	resolveMax = 5 * time.Second
)

// ErrCrowded is wrapped by a [*ResolveError] for an answer of more than 64 addresses.
var ErrCrowded = errors.New("too many addresses")

// RefusedError says that a name resolves to an address that may not be dialed.
type RefusedError struct{ Host, Reason string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s resolves to a refused address: %s", e.Host, e.Reason)
}

// ResolveError says that a name has no address. Count is that of an answer that was
// too long.
type ResolveError struct {
	Host  string
	Count int
	Err   error // nil for an empty answer
}

func (e *ResolveError) Error() string {
	if e.Err == nil {
		return e.Host + " has no address: the answer is empty"
	}
	return fmt.Sprintf("%s has no address: %v", e.Host, e.Err)
}

// Unwrap returns the resolver's error.
func (e *ResolveError) Unwrap() error { return e.Err }

// Dial resolves host, a canonical name or IPv4 address, once, checks every address of the
// answer, and dials those very addresses in turn. Opened are the private ranges that the
// route admits. Errors are a [*RefusedError], a [*ResolveError], or the last dial's.
func (d Dialer) Dial(ctx context.Context, host string, port uint16, opened []netip.Prefix) (net.Conn, netip.AddrPort, error) {
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	for _, addr := range addrs {
		if why := Check(addr, opened); why != "" {
			return nil, netip.AddrPort{}, &RefusedError{host, why}
		}
	}
	// IPv4 first: the bundle's own network always has it.
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	for _, addr := range addrs[:min(len(addrs), dialTries)] {
		to := netip.AddrPortFrom(addr, port)
		var conn net.Conn
		if conn, err = d.connect(ctx, to); err == nil {
			return conn, to, nil
		}
	}
	return nil, netip.AddrPort{}, err
}

func (d Dialer) connect(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, eachDial)
	defer cancel()
	if d.Connect != nil {
		return d.Connect(ctx, addr)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", addr.String())
}

func (d Dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if hostname.IsIP(host) {
		return []netip.Addr{netip.MustParseAddr(host)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveMax)
	defer cancel()
	resolver := d.Resolver
	if resolver == nil {
		resolver = Nameserver{}
	}
	addrs, err := resolver.LookupNetIP(ctx, "ip", host)
	switch {
	case err != nil:
		return nil, &ResolveError{Host: host, Err: err}
	case len(addrs) == 0:
		return nil, &ResolveError{Host: host}
	case len(addrs) > maxAddrs:
		return nil, &ResolveError{Host: host, Count: len(addrs), Err: ErrCrowded}
	}
	return slices.Clone(addrs), nil
}
