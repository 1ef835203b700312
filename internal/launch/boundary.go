package launch

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/boundary"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/event"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/plan"
)

// openTargets opens what the guest must not reach, once the bundle is there: its bridge is
// one of the addresses, and it reaches for the guest what the firewall must refuse.
func (b *Bottle) openTargets(ctx context.Context, undo *undo, sidecar Sidecar) error {
	var err error
	if b.targets, err = b.deps.Targets(ctx); err != nil {
		return err
	}
	undo.push("the boundary's targets", func(context.Context) error { return b.targets.Close() })
	b.checks = b.targets.Checks(ctx, boundary.Bottle{
		Firewall: fmt.Sprintf("127.0.0.1:%d", plan.PortFirewall), Sockets: b.socketNames(), Gate: sidecar.Gate(),
		Inside: b.inside(), Unlisted: b.unlisted(), Reach: sidecar.Reach,
	})
	for _, check := range b.checks {
		switch {
		case check.Via == "":
		case check.Kind == probe.Plain && strings.HasPrefix(check.Target, "["): // the firewall names these as they came
			b.tally.expect("http://" + check.Target + "/")
		default:
			b.tally.expect(check.Target)
		}
	}
	return nil
}

func (b *Bottle) socketNames() []string {
	var names []string
	for _, port := range b.plan.Ports {
		names = append(names, boundary.SocketName(port.Guest))
	}
	return names
}

// inside are the daemons that the firewall could reach, and must not lead to.
func (b *Bottle) inside() []string {
	var list []string
	if slices.Contains(b.plan.Daemons, daemons.Egress) {
		list = append(list, egressInside)
	}
	for _, port := range b.plan.Ports {
		list = append(list, fmt.Sprintf("127.0.0.1:%d", port.Guest))
	}
	return list
}

// egressInside is where egress listens in the bundle.
const egressInside = "127.0.0.2:443"

// unlisted are the echo names that are alive and not in the plan.
func (b *Bottle) unlisted() []string {
	var list []string
	for _, name := range b.plan.Echo {
		if !slices.ContainsFunc(b.plan.Firewall.Hosts, func(h plan.Host) bool { return h.Host == name }) {
			list = append(list, name+":443")
		}
	}
	return list
}

// BoundaryError says which probe showed that the boundary does not hold.
type BoundaryError struct{ Result boundary.Result }

func (e *BoundaryError) Error() string {
	r := e.Result
	return fmt.Sprintf("the boundary does not hold: probe %q, expected %s: the guest says %q, %d connections came", r.Probe, r.Expected, shown(r.Observed), r.Hits)
}

// HintLines says where to look.
func (e *BoundaryError) HintLines() []string { return []string{"bottle doctor"} }

// judge decides whether the guest may have what the host has for it.
func (b *Bottle) judge(ctx context.Context, said []probe.Observation) error {
	results := boundary.Judge(b.checks, said)
	b.results = results
	b.audit(ctx, audit.Host, "receipt", map[string]any{"guest_trusted": true, "results": results})
	if surprise := boundary.Surprise(results); surprise != nil {
		return &BoundaryError{Result: *surprise}
	}
	b.say(ctx, event.Info, "proof", "the boundary holds: "+boundary.Count(results))
	return nil
}
