package manifest

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// parseHost checks "host" or "host:port" and returns the host in lower case and the
// port, or fallback without one. Only plain names pass: no address in any spelling, no
// wildcard, no URL, so that the firewall, egress and the person who reads the preflight
// cannot understand different hosts.
func parseHost(text string, fallback int) (host string, port int, problem string) {
	if problem := notAHost(text); problem != "" {
		return "", 0, problem
	}
	host, portText, hasPort := strings.Cut(text, ":")
	port = fallback
	if hasPort {
		if port, problem = parsePort(portText); problem != "" {
			return "", 0, problem
		}
	}
	host, problem = parseName(host)
	return host, port, problem
}

// notAHost recognises the usual things that people write instead of a host.
func notAHost(text string) string {
	if strings.Contains(text, "://") {
		rest := text[strings.Index(text, "://")+3:]
		rest, _, _ = strings.Cut(rest, "/")
		return fmt.Sprintf("%q is a URL; write only the host: %q", text, rest)
	}
	for _, r := range text {
		if r > 126 {
			return notASCII(text)
		}
	}
	if strings.Contains(text, "*") {
		return fmt.Sprintf("%q: wildcards are not allowed; list each host", text)
	}
	if strings.Contains(text, "/") {
		return fmt.Sprintf("%q contains a path; write only the host and use paths = [...] for the rest", text)
	}
	if strings.Contains(text, "@") {
		return fmt.Sprintf("%q contains a user; write only the host", text)
	}
	if _, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil || strings.HasPrefix(text, "[") {
		return fmt.Sprintf("%q is an address; routes name hosts", text)
	}
	return ""
}

func notASCII(text string) string {
	ascii, err := idna.Lookup.ToASCII(text)
	if err != nil {
		return fmt.Sprintf("%q is not plain ASCII; write the host as its xn-- form", text)
	}
	return fmt.Sprintf("%q is not plain ASCII; write its A-label form %q", text, ascii)
}

func parsePort(text string) (port int, problem string) {
	port, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(port) != text || port < 1 || port > 65535 {
		return 0, fmt.Sprintf("port %q must be a number from 1 to 65535", text)
	}
	if isReserved(port) {
		return 0, fmt.Sprintf("port %d is bottle's own (8888, 9080, 9100, 9420 and 9990 are)", port)
	}
	return port, ""
}

// isReserved keeps routes away from the ports of the bundle's own daemons: pipelock
// allows by host alone and serves its statistics on its proxy port.
func isReserved(port int) bool {
	return port == 8888 || port == 9080 || port == 9100 || port == 9420 || port == 9990
}

// parseName checks a DNS name and returns it in lower case.
func parseName(text string) (host, problem string) {
	host = strings.ToLower(text)
	switch {
	case host == "":
		return "", "the host is empty"
	case len(host) > 253:
		return "", fmt.Sprintf("%.20q... is too long for a host: %d bytes, at most 253", host, len(host))
	case strings.HasSuffix(host, "."):
		return "", fmt.Sprintf("%q: leave out the dot at the end", text)
	case !strings.Contains(host, "."):
		return "", fmt.Sprintf("%q is a single label; write the full name, such as %q", text, host+".example.com")
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if problem := checkLabel(label); problem != "" {
			return "", fmt.Sprintf("%q: %s", text, problem)
		}
	}
	// 0x7f.1, 127.1 and 2130706433 are addresses to some resolvers.
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' {
		return "", fmt.Sprintf("%q ends in a number, so some programs take it for an address", text)
	}
	if strings.Contains(host, "xn--") {
		if _, err := idna.Lookup.ToUnicode(host); err != nil {
			return "", fmt.Sprintf("%q is not a valid xn-- name", text)
		}
	}
	return host, ""
}

func checkLabel(label string) string {
	switch {
	case label == "":
		return "a label is empty"
	case len(label) > 63:
		return "a label is longer than 63 bytes"
	case label[0] == '-' || label[len(label)-1] == '-':
		return "a label begins or ends with a dash"
	}
	for i := range len(label) {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return "only letters, digits, dashes and dots are allowed in a host"
		}
	}
	return ""
}

// parsePrivateCIDR checks one entry of allow_private. Loopback and link-local stay shut:
// that is where the bundle's daemons and the clouds' metadata services are.
func parsePrivateCIDR(text string) (cidr, problem string) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return "", fmt.Sprintf("%q is not a range of addresses such as \"10.1.0.0/16\"", text)
	}
	if masked := prefix.Masked(); masked != prefix {
		return "", fmt.Sprintf("%q has bits beyond its mask; write %q", text, masked)
	}
	for _, allowed := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"} {
		outer := netip.MustParsePrefix(allowed)
		if outer.Bits() <= prefix.Bits() && outer.Contains(prefix.Addr()) {
			return prefix.String(), ""
		}
	}
	return "", fmt.Sprintf("%q is not within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 or fc00::/7; public addresses need no entry, others are never allowed", text)
}
