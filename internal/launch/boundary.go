package launch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/boundary"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/digest"
	"bottle.internal/internal/event"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/printable"
)

// openTargets opens what the guest must not reach, once the bundle is there: its bridge is
// one of the addresses, and it reaches for the guest what the firewall must refuse.
func (b *Bottle) openTargets(ctx context.Context, undo *undo, sidecar Sidecar) error {
	var err error
	if b.targets, err = b.deps.Targets(ctx); err != nil {
		return err
	}
	undo.push("the boundary's targets", func(context.Context) error { return b.targets.Close() })
	b.checks = b.targets.Checks(ctx, boundaryOf(b.plan, b.deps.Shares, sidecar.Gate(), sidecar.Reach))
	for _, check := range b.checks {
		switch {
		case check.Via == "":
		case check.Kind == probe.Plain && strings.HasPrefix(check.Target, "["): // the firewall names these as they came
			b.tally.Expect("http://" + check.Target + "/")
		default:
			b.tally.Expect(check.Target)
		}
	}
	return nil
}

// boundaryOf is what the checks have to know of a bottle.
func boundaryOf(p plan.Plan, shares []string, gate string, reach func(context.Context, ...string) []error) boundary.Bottle {
	b := boundary.Bottle{Firewall: fmt.Sprintf("127.0.0.1:%d", plan.PortFirewall), Shares: shares, Gate: gate, Reach: reach}
	if slices.Contains(p.Daemons, daemons.Egress) {
		b.Inside = append(b.Inside, egressInside)
	}
	for _, port := range p.Ports {
		b.Sockets = append(b.Sockets, path.Base(guestapi.SocketPath(uint16(port.Guest))))
		// The firewall could reach it, and must not lead to it.
		b.Inside = append(b.Inside, fmt.Sprintf("127.0.0.1:%d", port.Guest))
	}
	for _, name := range p.Echo {
		if !slices.ContainsFunc(p.Firewall.Hosts, func(h plan.Host) bool { return h.Host == name }) {
			b.Unlisted = append(b.Unlisted, name+":443")
		}
	}
	return b
}

// egressInside is where egress listens in the bundle.
const egressInside = "127.0.0.2:443"

// errNoAnswer is no breach: what must answer did not, yet.
var errNoAnswer = errors.New("the firewall did not answer the guest's probe")

// maxShown bounds what a message quotes of a guest's words, in bytes.
const maxShown = 200

// BoundaryError says which probe showed that the boundary does not hold.
type BoundaryError struct{ Result boundary.Result }

func (e *BoundaryError) Error() string {
	r := e.Result
	return fmt.Sprintf("the boundary does not hold: probe %q, expected %s: the guest says %q, %d connections came", r.Probe, r.Expected, printable.Escaped(r.Observed, maxShown), r.Hits)
}

// HintLines says where to look.
func (e *BoundaryError) HintLines() []string { return []string{"bottle doctor"} }

// judge decides whether the guest may have what the host has for it.
func (b *Bottle) judge(ctx context.Context, said []probe.Observation) error {
	results := boundary.Judge(b.checks, said)
	b.results = results
	fields, err := b.receiptFields()
	if err != nil {
		return err
	}
	b.audit(ctx, audit.Host, "receipt", fields)
	if surprise := boundary.Surprise(results); surprise != nil {
		if broken := (&BoundaryError{Result: *surprise}); surprise.Expected == boundary.Blocked {
			return broken
		}
		return errNoAnswer // it may come: the guest is asked again
	}
	b.say(ctx, event.Info, "proof", "the boundary holds: "+boundary.Count(results))
	return nil
}

// receiptFields are the probes, and what it was that passed them.
func (b *Bottle) receiptFields() (map[string]any, error) {
	text, err := b.plan.JSON()
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"guest_trusted": b.kept == nil, // an earlier run could have changed it
		"results":       b.results,
		"vm_tool":       b.status.VMTool,
		"plan_sha256":   fmt.Sprintf("%x", sha256.Sum256(text)),
		"image":         b.status.ImageDigest,
		"pack_sha256":   b.status.PackSHA256,
		"tools":         digest.Map(b.tools.get()),
	}, nil
}
