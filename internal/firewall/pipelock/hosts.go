package pipelock

import (
	"errors"
	"net/netip"
	"os"
	"strings"

	"bottle.internal/internal/firewall"
)

// What is wrong with the hosts file for a route, in words for the agent.
var (
	errUnmapped  = errors.New("the bundle's hosts file does not lead it to egress; a new start of the bottle does")
	errElsewhere = errors.New("the bundle's hosts file leads it somewhere else")
)

// admit reads the hosts file as pipelock is going to: a routed host must lead to egress
// and to nothing else, a plain one must not be in it at all.
func (d Daemon) admit(route firewall.Host) error {
	data, err := os.ReadFile(d.Hosts)
	if err != nil {
		return errUnmapped
	}
	addrs := lookup(string(data), route.Host)
	switch {
	case route.Mode == firewall.Plain && len(addrs) == 0:
		return nil
	case route.Mode == firewall.Plain:
		return errElsewhere
	case len(addrs) == 0:
		return errUnmapped
	}
	for _, addr := range addrs {
		if addr != d.Egress.String() {
			return errElsewhere
		}
	}
	return nil
}

// lookup returns the addresses of a name in a hosts file. What is no address is returned
// as it is written: another reader may understand it.
func lookup(hosts, name string) []string {
	var addrs []string
	for text := range strings.Lines(hosts) {
		text, _, _ = strings.Cut(text, "#")
		fields := strings.Fields(text)
		for i, alias := range fields {
			if i == 0 || !strings.EqualFold(strings.TrimSuffix(alias, "."), name) {
				continue
			}
			addr := fields[0]
			if parsed, err := netip.ParseAddr(addr); err == nil {
				addr = parsed.String()
			}
			addrs = append(addrs, addr)
		}
	}
	return addrs
}
