package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"

	"bottle.internal/internal/canary"
	"bottle.internal/internal/names"
	"bottle.internal/internal/netguard"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/urlpart/hostname"
)

// Scheme is how a route is spoken to: through a TLS tunnel or in clear.
type Scheme string

// The schemes. Only an HTTPS route takes CONNECT, only an HTTP route takes a plain
// request.
const (
	HTTPS Scheme = "https"
	HTTP  Scheme = "http"
)

// Mode is who speaks to the upstream of a route.
type Mode string

// The modes. A plain route is spliced to the address of its host; a routed one is handed
// to egress, which ends TLS, and its host is never resolved here.
const (
	Plain  Mode = "plain"
	Routed Mode = "routed"
)

// maxHosts bounds a policy, so that one look at it stays cheap.
const maxHosts = 1024

// Host is one destination that the agent may reach.
type Host struct {
	// Host is an exact name in lower case, or a canonical IPv4 address.
	Host string `json:"host"`
	// Port is the only port that this entry opens.
	Port uint16 `json:"port"`
	// Scheme is "https" or "http".
	Scheme Scheme `json:"scheme"`
	// Mode is "plain" or "routed"; routed needs https and a name.
	Mode Mode `json:"mode"`
	// Private admits every RFC 1918 and unique local address, beside the public ones.
	Private bool `json:"private"`
	// AllowPrivate admits only these private or carrier-grade NAT ranges; beside Private
	// it is an error.
	AllowPrivate []netip.Prefix `json:"allow_private,omitempty"`
}

// String is host:port.
func (h Host) String() string { return joinPort(h.Host, h.Port) }

// Policy is all that the firewall knows about a bottle. It is a plain value; the
// zero Policy allows nothing.
type Policy struct {
	// Bottle is the manifest's name of the bottle; denials use it in their hint.
	Bottle string `json:"bottle"`
	// Hosts is the allowlist. Empty means that nothing is allowed.
	Hosts []Host `json:"routes"`
	// Canaries are the bottle's fake credentials; each has [canary.MinLength] to 256 bytes of
	// printable ASCII. They do not decide what [Decide] says.
	Canaries []string `json:"canaries"`
}

// Validate refuses a policy that could be read in two ways. Ports that belong to
// the bundle's daemons are never routes.
func (p Policy) Validate() error {
	if p.Bottle != "" {
		if err := names.Validate(p.Bottle); err != nil {
			return fmt.Errorf("checking the bottle's name: %w", err)
		}
	}
	if err := p.validateCanaries(); err != nil {
		return err
	}
	if len(p.Hosts) > maxHosts {
		return fmt.Errorf("checking routes: %d of them, at most %d are allowed", len(p.Hosts), maxHosts)
	}
	first := map[string]Host{}
	seen := map[string]bool{}
	for i, host := range p.Hosts {
		if err := host.validate(); err != nil {
			return fmt.Errorf("checking route %d: %w", i+1, err)
		}
		if seen[host.String()] {
			return fmt.Errorf("checking route %d: %s is there twice", i+1, host)
		}
		seen[host.String()] = true
		// Pipelock's address guard and the hosts file know names, not ports.
		before, known := first[host.Host]
		switch {
		case known && before.Mode != host.Mode:
			return fmt.Errorf("checking route %d: %s is %s on another port", i+1, host.Host, before.Mode)
		case known && !slices.Equal(before.opened(), host.opened()):
			return fmt.Errorf("checking route %d: %s has other private addresses on another port", i+1, host.Host)
		case !known:
			first[host.Host] = host
		}
	}
	return nil
}

// maxCanaries bounds what is looked for.
const maxCanaries = 64

func (p Policy) validateCanaries() error {
	if len(p.Canaries) > maxCanaries {
		return fmt.Errorf("checking canaries: %d of them, at most %d are allowed", len(p.Canaries), maxCanaries)
	}
	for i, text := range p.Canaries {
		if len(text) < canary.MinLength || len(text) > 256 || !printable.IsASCII(text) {
			return fmt.Errorf("checking canary %d: it has to be %d to 256 bytes of printable ASCII", i+1, canary.MinLength)
		}
	}
	return nil
}

func (h Host) validate() error {
	canonical, err := hostname.Canonical(h.Host)
	switch {
	case err != nil:
		return fmt.Errorf("host %q: %w", h.Host, err)
	case canonical != h.Host:
		return fmt.Errorf("host %q: write it in lower case", h.Host)
	case h.Host == nothingAllowed:
		return fmt.Errorf("host %q is reserved: it stands for an empty allowlist", h.Host)
	case h.Port == 0:
		return fmt.Errorf("host %q has no port", h.Host)
	case slices.Contains(reservedPorts(), h.Port):
		return fmt.Errorf("%s: port %d belongs to the bundle", h, h.Port)
	case h.Scheme != HTTPS && h.Scheme != HTTP:
		return fmt.Errorf("%s: scheme %q is neither https nor http", h, h.Scheme)
	case h.Mode != Plain && h.Mode != Routed:
		return fmt.Errorf("%s: mode %q is neither plain nor routed", h, h.Mode)
	case h.Private && len(h.AllowPrivate) > 0:
		return fmt.Errorf("%s: private and allow_private exclude each other", h)
	}
	for _, prefix := range h.AllowPrivate {
		if !netguard.IsOpenable(prefix) {
			return fmt.Errorf("%s: allow_private %q is no private range in canonical form", h, prefix)
		}
	}
	if h.Mode == Routed {
		return h.validateRouted()
	}
	return nil
}

// validateRouted: egress ends TLS and tells its routes apart by name.
func (h Host) validateRouted() error {
	switch {
	case h.Scheme != HTTPS:
		return fmt.Errorf("%s: a routed host is https, not %s", h, h.Scheme)
	case hostname.IsIP(h.Host):
		return fmt.Errorf("%s: a routed host is a name, not an address", h)
	case h.Port == egressHealth:
		return fmt.Errorf("%s: port %d belongs to egress", h, h.Port)
	}
	return nil
}

// opened is the private ranges that the firewall may dial for the entry. Those of a
// routed host are for egress.
func (h Host) opened() []netip.Prefix {
	switch {
	case h.Mode == Routed:
		return nil
	case h.Private:
		return netguard.PrivateRanges()
	}
	return h.AllowPrivate
}

func (h Host) equal(other Host) bool {
	same := slices.Equal(h.AllowPrivate, other.AllowPrivate)
	h.AllowPrivate, other.AllowPrivate = nil, nil
	return same && reflect.DeepEqual(h, other)
}

// sorted returns a copy in the one order that files are written in.
func (p Policy) sorted() Policy {
	p.Hosts = slices.Clone(p.Hosts)
	for i := range p.Hosts {
		p.Hosts[i].AllowPrivate = slices.Clone(p.Hosts[i].AllowPrivate)
		slices.SortFunc(p.Hosts[i].AllowPrivate, netip.Prefix.Compare)
	}
	slices.SortFunc(p.Hosts, func(a, b Host) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
	return p
}

// egressHealth is the port on which egress answers for its health, beside its routes.
const egressHealth = 9080

// reservedPorts are the firewall's own, supervise's, git-gate's and pipelock's metrics
// (pipelock allowlists by host alone and serves more than a proxy there).
func reservedPorts() []uint16 { return []uint16{8888, 9100, 9420, 9990} }

func joinPort(host string, port uint16) string {
	return host + ":" + strconv.Itoa(int(port))
}
