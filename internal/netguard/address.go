// Package netguard decides which addresses may be dialed on an agent's behalf, and dials
// them.
//
// Invariants: a name is resolved once, and exactly the addresses of that answer that were
// judged are dialed, so a second answer (DNS rebinding) is never asked for; one bad address
// in an answer refuses all of it; loopback, link-local and metadata addresses are refused
// whatever a route opens; names come from the nameserver itself, never from the hosts file.
package netguard

import (
	"fmt"
	"net/netip"
	"slices"
)

// span is a range of addresses and the word for it in a refusal.
type span struct {
	prefix netip.Prefix
	word   string
}

// never lists what is refused for every route, also the parts of a private range that
// serve credentials.
func never() []span {
	return spans(
		"127.0.0.0/8", "loopback", "::1/128", "loopback",
		"0.0.0.0/8", "unspecified", "::/128", "unspecified",
		"169.254.0.0/16", "link-local or metadata", "fe80::/10", "link-local",
		// Metadata services outside the link-local range: AWS, Google, Alibaba, Azure, Oracle.
		"fd00:ec2::/32", "metadata", "fd20:ce::254/128", "metadata", "100.100.100.200/32", "metadata",
		"168.63.129.16/32", "metadata", "192.0.0.192/32", "metadata",
		"192.0.0.0/24", "reserved", "198.18.0.0/15", "reserved", "192.88.99.0/24", "a 6to4 relay",
		"192.0.2.0/24", "documentation", "198.51.100.0/24", "documentation", "203.0.113.0/24", "documentation",
		"224.0.0.0/4", "multicast", "ff00::/8", "multicast", "240.0.0.0/4", "reserved",
		// IPv6 addresses that carry an IPv4 address inside: a way around the ranges above.
		"::ffff:0:0/96", "a mapped IPv4", "::/96", "an embedded IPv4",
		"64:ff9b::/96", "NAT64", "64:ff9b:1::/48", "NAT64", "2002::/16", "6to4", "2001::/32", "Teredo",
		"2001::/23", "reserved", "2001:db8::/32", "documentation", "3fff::/20", "documentation",
	)
}

// spans takes prefix and word in turn; the prefixes are constants of this file.
func spans(pairs ...string) []span {
	list := make([]span, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, span{netip.MustParsePrefix(pairs[i]), pairs[i+1]})
	}
	return list
}

// openableRanges are those that a route can name. Carrier-grade NAT (overlay networks
// live there) is opened by its range only, not by the word private.
func openableRanges() []netip.Prefix {
	return append(PrivateRanges(), netip.MustParsePrefix("100.64.0.0/10"))
}

// PrivateRanges are RFC 1918 and the unique local addresses.
func PrivateRanges() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
	}
}

// IsOpenable reports whether a route may name prefix: private or carrier-grade NAT
// addresses, in canonical form.
func IsOpenable(prefix netip.Prefix) bool {
	return prefix.IsValid() && prefix == prefix.Masked() && slices.ContainsFunc(openableRanges(), func(all netip.Prefix) bool {
		return all.Bits() <= prefix.Bits() && all.Contains(prefix.Addr())
	})
}

// Check returns the reason why addr is refused, or "". Opened are the private ranges
// that the route admits; they add nothing to what is never allowed.
func Check(addr netip.Addr, opened []netip.Prefix) string {
	if !addr.IsValid() || addr.Zone() != "" {
		return "it is no plain address"
	}
	holds := func(prefix netip.Prefix) bool { return prefix.Contains(addr) }
	for _, s := range never() {
		if holds(s.prefix) {
			return fmt.Sprintf("%s is %s", addr, s.word)
		}
	}
	if slices.ContainsFunc(openableRanges(), holds) {
		if slices.ContainsFunc(opened, holds) {
			return ""
		}
		return fmt.Sprintf("%s is private", addr)
	}
	// Only 2000::/3 is given out as public IPv6; what is left is not understood.
	if addr.Is6() && !holds(netip.MustParsePrefix("2000::/3")) {
		return fmt.Sprintf("%s is reserved", addr)
	}
	return ""
}
