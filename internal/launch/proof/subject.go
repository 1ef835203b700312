package proof

import (
	"context"
	"fmt"
	"path"
	"slices"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/plan"
)

// Subject is a bottle whose boundary is tried.
type Subject struct {
	Plan   plan.Plan
	Shares []string // directories of this host that the guest may see
	Gate   string   // of the bundle, on this host
	Reach  func(context.Context, ...string) []error
}

// Checks are what the guest has to try. The host reaches for all of it first.
func (s Subject) Checks(ctx context.Context, targets *boundary.Targets) []boundary.Check {
	return targets.Checks(ctx, s.bottle())
}

// bottle is what the checks have to know of it.
func (s Subject) bottle() boundary.Bottle {
	b := boundary.Bottle{Firewall: fmt.Sprintf("127.0.0.1:%d", plan.PortFirewall), Shares: s.Shares, Gate: s.Gate, Reach: s.Reach}
	if slices.Contains(s.Plan.Daemons, daemons.Egress) {
		b.Inside = append(b.Inside, egressInside)
	}
	for _, port := range s.Plan.Ports {
		b.Sockets = append(b.Sockets, path.Base(guestapi.SocketPath(uint16(port.Guest))))
		// The firewall could reach it, and must not lead to it.
		b.Inside = append(b.Inside, fmt.Sprintf("127.0.0.1:%d", port.Guest))
	}
	for _, name := range s.Plan.Echo {
		if !slices.ContainsFunc(s.Plan.Firewall.Hosts, func(h plan.Host) bool { return h.Host == name }) {
			b.Unlisted = append(b.Unlisted, name+":443")
		}
	}
	return b
}

// egressInside is where egress listens in the bundle.
const egressInside = "127.0.0.2:443"
