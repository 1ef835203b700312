// Package hostname holds the one spelling that a host may have on the way out.
//
// A host is a lower-case DNS name of letters, digits, dots and dashes, or a
// canonical IPv4 address. Everything that two programs could read differently
// (trailing dots, 0x7f.1, user info, letters that look alike) is refused, never
// repaired: what was checked is what is resolved, compared with SNI and dialed.
package hostname

import (
	"net/netip"
	"strings"
)

// Problem says why a spelling is refused; it is an error and a stable text.
type Problem string

// Error implements error.
func (p Problem) Error() string { return string(p) }

// The refusals, in the order in which they are looked for.
const (
	Empty        Problem = "the host is empty"
	TooLong      Problem = "the host is longer than 253 bytes"
	Control      Problem = "it holds a space or a control character"
	NonASCII     Problem = "it holds non-ASCII letters (the xn-- form is the one to declare)"
	UserInfo     Problem = "user info before the host is not allowed"
	Percent      Problem = "percent-encoding in the host is not allowed"
	IPv6         Problem = "a colon or bracket in the host (IPv6 literals too) is not allowed"
	TrailingDot  Problem = "a trailing dot is not allowed"
	BadLabel     Problem = "a host is letters, digits and inner dashes, in labels of 1 to 63 bytes"
	NumericLabel Problem = "the host ends in a number and is no plain IPv4 address"
)

const (
	maxHost  = 253
	maxLabel = 63
)

// Canonical returns host in lower case, or the Problem with its spelling.
func Canonical(host string) (string, error) {
	if err := checkBytes(host); err != nil {
		return "", err
	}
	host = strings.ToLower(host)
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return "", BadLabel
		}
	}
	if IsIP(host) {
		return host, nil
	}
	if isNumber(labels[len(labels)-1]) {
		return "", NumericLabel
	}
	return host, nil
}

// IsIP reports whether a host in canonical form is an IPv4 address. [netip.ParseAddr]
// knows no leading zeros, no hexadecimal and no missing parts, so nothing odd passes.
func IsIP(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Is4()
}

func checkBytes(host string) error {
	switch {
	case host == "":
		return Empty
	case len(host) > maxHost:
		return TooLong
	}
	for _, b := range []byte(host) {
		switch {
		case b <= ' ' || b == 0x7f:
			return Control
		case b > 0x7f:
			return NonASCII
		}
	}
	switch {
	case strings.Contains(host, "@"):
		return UserInfo
	case strings.Contains(host, "%"):
		return Percent
	case strings.ContainsAny(host, "[]:"):
		return IPv6
	case strings.HasSuffix(host, "."):
		return TrailingDot
	}
	return nil
}

func isLabel(label string) bool {
	if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, b := range []byte(label) {
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '-' {
			return false
		}
	}
	return true
}

// isNumber finds what inet_aton and browsers take for part of an address: all
// digits, or 0x and hexadecimal digits (none at all counts too).
func isNumber(label string) bool {
	if rest, isHex := strings.CutPrefix(label, "0x"); isHex {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
