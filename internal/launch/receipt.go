package launch

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"bottle.internal/internal/plan"
)

// proof is a target that the guest must not reach, with the proof that somebody could.
type proof struct {
	target string
	from   string // where the proof was made
	err    error  // why there is no proof
}

func (b *Bottle) wantsCanary() bool {
	return slices.ContainsFunc(b.plan.Env, func(e plan.Env) bool { return e.Source == plan.SourceLaunch })
}

// proveControls reaches, from the bundle, every echo name that the plan does not list: a
// refusal of one that answers nobody would prove nothing.
func (b *Bottle) proveControls(ctx context.Context, sidecar Sidecar) {
	for _, name := range b.plan.Echo {
		if slices.ContainsFunc(b.plan.Firewall.Hosts, func(h plan.Host) bool { return h.Host == name }) {
			continue
		}
		target := name + ":443"
		b.controls = append(b.controls, proof{target: target, from: "the bundle", err: sidecar.Reach(ctx, target)})
	}
}

// Receipt says what was allowed and refused, from the host's own evidence. Call it after
// Run; Close may come before or after.
func (b *Bottle) Receipt() string {
	var out strings.Builder
	fmt.Fprintf(&out, "receipt of %s (%s %s, firewall %s)\n", b.plan.Identity, b.plan.VM.Tool, b.plan.VM.Version, b.plan.Firewall.Engine)
	table := b.tally.text()
	if table == "" {
		table = "  nothing was asked of the firewall\n"
	}
	out.WriteString(table)
	for _, c := range b.controls {
		if c.err != nil {
			fmt.Fprintf(&out, "  control  %s  uncontrolled: not reachable from %s: %s\n", c.target, c.from, shown(c.err.Error()))
			continue
		}
		fmt.Fprintf(&out, "  control  %s  reachable from %s\n", c.target, c.from)
	}
	if b.search != nil {
		fmt.Fprintf(&out, "  search   %s\n", b.search)
	}
	if b.canary != nil {
		hits, proved := b.canary.count()
		proof := "reachable from the host"
		if !proved {
			proof = "uncontrolled: not reachable from the host"
		}
		fmt.Fprintf(&out, "  canary   %s  %d connections from elsewhere; %s\n", b.canary.addr(), hits, proof)
	}
	return out.String()
}
