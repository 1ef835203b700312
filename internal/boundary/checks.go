package boundary

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"bottle.internal/internal/guest/probe"
)

// Targets are the live targets of one bottle on this host. The owner closes them.
type Targets struct{ list []*Listener }

// maxAddresses bounds the addresses of this host that a guest is asked to try: a host with
// many bottles has many bridges.
const maxAddresses = 8

// Open makes a TCP and a UDP target on every address of this host. One that cannot be used
// is left out, as it may be gone by now; 127.0.0.1 must be there.
func Open(ctx context.Context) (*Targets, error) {
	addresses, err := hostAddresses()
	if err != nil {
		return nil, err
	}
	t := &Targets{}
	for _, address := range some(addresses) {
		for _, network := range []string{"tcp", "udp"} {
			if listener, err := Listen(ctx, network, netip.AddrPortFrom(address, 0).String()); err == nil {
				t.list = append(t.list, listener)
			}
		}
	}
	if t.Loopback() == nil {
		return nil, errors.Join(errors.New("nothing can listen on 127.0.0.1"), t.Close())
	}
	return t, nil
}

// some keeps the first addresses, which are the host's own, and the last, which are the
// newest bridges: this bottle's among them.
func some(addresses []netip.Addr) []netip.Addr {
	if len(addresses) <= maxAddresses {
		return addresses
	}
	return slices.Concat(addresses[:maxAddresses-2], addresses[len(addresses)-2:])
}

// Loopback is the TCP target on 127.0.0.1, or nil.
func (t *Targets) Loopback() *Listener {
	for _, l := range t.list {
		if l.network == "tcp" && strings.HasPrefix(l.Addr(), "127.0.0.1:") {
			return l
		}
	}
	return nil
}

// String says what came to them since they were opened, which is to be nothing.
func (t *Targets) String() string {
	proved, came := 0, 0
	for _, l := range t.list {
		hits, ok := l.Evidence()
		if came += hits; ok {
			proved++
		}
	}
	return fmt.Sprintf("%d on this host, %d of them reached by the host itself; %d connections from elsewhere", len(t.list), proved, came)
}

// Close ends all of them.
func (t *Targets) Close() error {
	var first error
	for _, l := range t.list {
		if err := l.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Bottle is what the checks have to know of the bottle.
type Bottle struct {
	Firewall string   // in the guest: "127.0.0.1:8888"
	Sockets  []string // that the machine was given: "8888.sock"
	Shares   []string // directories that the VM tool shows to every machine: "/dev/root=rw"
	Gate     string   // the bundle's published address on this host
	Inside   []string // addresses that daemons have inside the bundle: "127.0.0.2:443"
	Unlisted []string // names that are alive, and that the firewall must refuse: "unlisted.bottle.test:443"
	// Reach dials from inside the bundle, and says HEX to HOST:PORT=HEX.
	Reach func(ctx context.Context, targets ...string) []error
}

// Addresses that no guest may reach, and that this host cannot stand in for: the gateway of
// smolvm's own network, documentation (RFC 5737, RFC 3849), and clouds' metadata. Packets to
// them never leave the machine: a guest has no network.
func foreign() []string {
	return []string{"100.96.0.1:53", "198.51.100.1:443", "[2001:db8::1]:443", "169.254.169.254:80"}
}

// vsockPorts of the host: where VM tools and agents listen.
func vsockPorts() []string { return []string{"2:22", "2:1024", "2:5000", "2:6000", "2:9999"} }

// Checks lists all that is tried for a bottle, and proves every control that there is.
func (t *Targets) Checks(ctx context.Context, b Bottle) []Check {
	checks := []Check{{Probe: probe.Probe{Name: "firewall", Kind: probe.Health, Target: b.Firewall}, Answers: true, Control: Control{Proof: "the bundle is ready"}}}
	checks = append(checks, t.direct(b)...)
	checks = append(checks, inGuest(b)...)
	checks = append(checks, t.proxied(b)...)
	prove(ctx, checks)
	reach(ctx, checks, b.Reach)
	return checks
}

// direct are dials without the proxy.
func (t *Targets) direct(b Bottle) []Check {
	var checks []Check
	for _, l := range t.list {
		checks = append(checks, Check{
			Probe:   probe.Probe{Name: l.network + " " + l.Addr(), Kind: probe.Kind(l.network), Target: l.Addr()},
			Control: Control{Listener: l},
		})
		if host, _, _ := net.SplitHostPort(l.Addr()); l.network == "udp" && strings.Count(host, ":") == 0 && host != "127.0.0.1" {
			checks = append(checks, Check{
				Probe:   probe.Probe{Name: "icmp " + host, Kind: probe.ICMP, Target: host},
				Control: Control{Proof: "an address of this host"},
			})
		}
	}
	if b.Gate != "" {
		checks = append(checks, Check{Probe: probe.Probe{Name: "bundle's port", Kind: probe.TCP, Target: b.Gate}})
	}
	for _, address := range foreign() {
		checks = append(checks, uncontrolled(probe.Probe{Name: "tcp " + address, Kind: probe.TCP, Target: address}, "no target of ours"))
	}
	checks = append(checks, uncontrolled(probe.Probe{Name: "dns", Kind: probe.DNS, Target: "bottle.example"}, "no target of ours"))
	for _, address := range vsockPorts() {
		checks = append(checks, uncontrolled(probe.Probe{Name: "vsock " + address, Kind: probe.Vsock, Target: address}, "no listener of ours"))
	}
	return checks
}

func uncontrolled(p probe.Probe, why string) Check {
	return Check{Probe: p, Control: Control{Missing: why}}
}

// inGuest are looks at the machine itself. What the guest's root says of itself counts as
// far as the VM tool was seen to agree.
func inGuest(b Bottle) []Check {
	const noNetwork = "the VM tool says that it has no network"
	var checks []Check
	for _, kind := range []probe.Kind{probe.Interfaces, probe.Routes, probe.Packet, probe.Listeners} {
		checks = append(checks, Check{Probe: probe.Probe{Name: string(kind), Kind: kind}, Control: Control{Proof: noNetwork}})
	}
	return append(checks, Check{
		Probe:   probe.Probe{Name: "sockets", Kind: probe.Sockets, Target: strings.Join(b.Sockets, ",")},
		Control: Control{Proof: "the machine was made with these"},
	}, shares(b.Shares))
}

// shares looks for directories of this host. Where the VM tool has none to show, nothing
// proves that the probe would see one.
func shares(declared []string) Check {
	p := probe.Probe{Name: "shares", Kind: probe.Shares, Target: strings.Join(declared, ",")}
	if len(declared) == 0 {
		return uncontrolled(p, "the VM tool shares no directory")
	}
	return Check{Probe: p, Control: Control{Proof: "the VM tool shares these with every machine"}}
}

// proxied are requests to the firewall, which can reach all of these targets.
func (t *Targets) proxied(b Bottle) []Check {
	var checks []Check
	try := func(kind probe.Kind, l *Listener) {
		checks = append(checks, Check{
			Probe:   probe.Probe{Name: proxied + string(kind) + " " + l.Addr(), Kind: kind, Target: l.Addr(), Via: b.Firewall},
			Control: Control{Listener: l},
		})
	}
	var last *Listener
	for _, l := range t.list {
		host, _, _ := net.SplitHostPort(l.Addr())
		if address, err := netip.ParseAddr(host); l.network == "tcp" && err == nil && !address.IsLoopback() {
			try(probe.Connect, l)
			last = l
		}
	}
	if last != nil { // each request costs in an emulated machine: plain ones go to the newest bridge alone
		try(probe.Plain, last)
	}
	for _, target := range append(append([]string{}, b.Inside...), b.Unlisted...) {
		checks = append(checks, Check{Probe: probe.Probe{Name: proxied + "connect " + target, Kind: probe.Connect, Target: target, Via: b.Firewall}})
	}
	return append(checks, uncontrolled(
		probe.Probe{Name: proxied + "connect 169.254.169.254:80", Kind: probe.Connect, Target: "169.254.169.254:80", Via: b.Firewall}, "no target of ours"))
}

// prove reaches from the host what the guest must not reach directly.
func prove(ctx context.Context, checks []Check) {
	var all sync.WaitGroup
	for i := range checks {
		c := &checks[i]
		if c.Via != "" || c.Control.known() {
			continue
		}
		all.Go(func() {
			if c.Control.Listener != nil {
				c.Control.set("reached from the host", c.Control.Listener.Prove(ctx))
			} else {
				c.Control.set("reached from the host", connectable(ctx, c.Target))
			}
		})
	}
	all.Wait()
}

// reach reaches from the bundle what the guest must not reach through the firewall.
func reach(ctx context.Context, checks []Check, dial func(context.Context, ...string) []error) {
	var targets []string
	var asked []*Control
	for i := range checks {
		c := &checks[i]
		if c.Via == "" || c.Control.known() {
			continue
		}
		target := c.Target
		if c.Control.Listener != nil {
			target += "=" + c.Control.Listener.Nonce()
		}
		targets, asked = append(targets, target), append(asked, &c.Control)
	}
	if len(targets) == 0 {
		return
	}
	for i, err := range dial(ctx, targets...) {
		asked[i].set("reached from the bundle", err)
	}
}

func (c *Control) known() bool { return c.Proof != "" || c.Missing != "" }

func (c *Control) set(proof string, err error) {
	if err != nil {
		c.Missing = err.Error()
		return
	}
	c.Proof = proof
}

func connectable(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("dialing it: %w", err)
	}
	return conn.Close()
}
