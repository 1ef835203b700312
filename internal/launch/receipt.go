package launch

import (
	"fmt"
	"strings"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/digest"
)

// Receipt says what was allowed and refused, from the host's own evidence. Call it after
// Run; Close may come before or after.
func (b *Bottle) Receipt() string {
	var out strings.Builder
	fmt.Fprintf(&out, "receipt of %s (%s %s, firewall %s)\n", b.plan.Identity, b.plan.VM.Tool, b.plan.VM.Version, b.plan.Firewall.Engine)
	table := b.tally.String()
	if table == "" {
		table = "  nothing was asked of the firewall\n"
	}
	out.WriteString(table)
	if b.search != nil {
		fmt.Fprintf(&out, "  search   %s\n", b.search)
	}
	if len(b.results) > 0 {
		fmt.Fprintf(&out, "  boundary %s\n", boundary.Count(b.results))
	}
	if b.targets != nil {
		fmt.Fprintf(&out, "  targets  %s\n", b.targets)
	}
	if sums := b.tools.get(); len(sums) > 0 {
		fmt.Fprintf(&out, "  tools    sha256 of %s\n", digest.Line(sums))
	}
	return out.String()
}
