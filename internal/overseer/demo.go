package overseer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/proposal"
)

// demoPause is how often the demo's stand-in looks for requests.
const demoPause = 50 * time.Millisecond

// approveForTheDemo does what a person would do with `bottle supervise approve`, for the
// hosts that the plan names: upstreams that bottle runs itself, in template demo only.
func (o *Overseer) approveForTheDemo(ctx context.Context) {
	ticker := time.NewTicker(demoPause)
	defer ticker.Stop()
	decided := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := o.approveOnce(decided); err != nil {
			o.config.Say(fmt.Sprintf("the demo's approval failed: %v", err))
			return
		}
	}
}

// approveOnce leaves out what is decided and not yet carried out.
func (o *Overseer) approveOnce(decided map[string]bool) error {
	desk, err := proposal.OpenDesk(o.config.Instance, o.config.Plan.Identity)
	if err != nil {
		return err
	}
	defer desk.Close()
	views, problems := desk.List()
	for _, view := range views {
		allow := view.Proposal.Allow
		if view.Status != ask.Pending || decided[view.Proposal.ID] || allow == nil || !slices.Contains(o.config.Plan.DemoApproves, allow.Host) {
			continue
		}
		shown, err := desk.Show(view.Proposal.ID)
		if err != nil {
			return err
		}
		o.config.Say(fmt.Sprintf("the agent asks for %s, and the demo says yes, as you would with: bottle supervise approve %.12s", allow.Host, view.Proposal.ID))
		if _, err := desk.Decide(view.Proposal.ID, proposal.Answer{Verdict: proposal.Approve, By: "the demo", Seen: shown.Seen()}); err != nil {
			return err
		}
		decided[view.Proposal.ID] = true
	}
	return errors.Join(problems...)
}
