package launch

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/boundary"
	"bottle.internal/internal/digest"
	"bottle.internal/internal/event"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/launch/proof"
	"bottle.internal/internal/launch/undo"
)

// openTargets opens what the guest must not reach, once the bundle is there: its bridge is
// one of the addresses, and it reaches for the guest what the firewall must refuse.
func (b *Bottle) openTargets(ctx context.Context, stack *undo.Stack, sidecar Sidecar) error {
	var err error
	if b.targets, err = b.deps.Targets(ctx); err != nil {
		return err
	}
	stack.Push("the boundary's targets", func(context.Context) error { return b.targets.Close() })
	subject := proof.Subject{Plan: b.plan, Shares: b.deps.Shares, Gate: sidecar.Gate(), Reach: sidecar.Reach}
	b.checks = subject.Checks(ctx, b.targets)
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

// probed keeps what the probes of the launch found, and writes it down.
func (b *Bottle) probed(ctx context.Context, results []boundary.Result) error {
	b.results = results
	fields, err := b.receiptFields()
	if err != nil {
		return err
	}
	b.audit(ctx, audit.Host, "receipt", fields)
	if boundary.Surprise(results) == nil {
		b.say(ctx, event.Info, "proof", "the boundary holds: "+boundary.Count(results))
	}
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
