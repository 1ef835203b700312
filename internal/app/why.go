package app

import (
	"errors"
	"io/fs"
	"time"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/why"
)

// WhyRequest says whose rules are asked about: those of an agent by today's manifest, or
// those of a bottle that was started.
type WhyRequest struct{ Agent, Identity string }

// WhyFacts gathers what an answer of package why rests on.
func (a *App) WhyFacts(request WhyRequest) (why.Facts, error) {
	if request.Identity != "" {
		return a.bottleFacts(request.Identity)
	}
	set, err := a.manifest()
	if err != nil {
		return why.Facts{}, err
	}
	if known := set.AgentNames(); request.Agent == "" && len(known) == 1 {
		request.Agent = known[0]
	}
	needs := plan.NeedsOf(set, request.Agent)
	p, err := plan.Resolve(set, plan.Request{Agent: request.Agent, Identity: anyIdentity(request.Agent), Asks: true},
		plan.Facts{Unseen: true, FirewallEngine: a.firewallEngine(), TTY: true})
	if unknown := (*plan.UnknownAgentError)(nil); errors.As(err, &unknown) {
		return why.Facts{}, &Problem{Text: err.Error(), Hints: []string{"bottle why GET https://HOST/PATH --agent " + unknown.Likely()}}
	}
	if err != nil {
		return why.Facts{}, err
	}
	facts := why.Facts{Plan: p, Launched: p, Missing: map[string]bool{}, Now: time.Now()}
	for _, name := range needs.Env {
		facts.Missing["env:"+name] = !a.isSet(name)
	}
	for _, ref := range needs.Files {
		facts.Missing["file:"+ref.Path] = !a.fileFact(ref).Exists
	}
	return facts, nil
}

// anyIdentity stands in for one that is drawn at the start.
func anyIdentity(agent string) names.Identity { return names.Identity(agent + "-00000") }

// bottleFacts are those of a bottle, with what was approved.
func (a *App) bottleFacts(identity string) (why.Facts, error) {
	launched, err := a.StoredPlan(identity)
	if err != nil {
		return why.Facts{}, err
	}
	instance, err := a.open(identity)
	if err != nil {
		return why.Facts{}, err
	}
	facts := why.Facts{Plan: launched, Launched: launched, Started: true, Now: time.Now()}
	kept, err := proposal.ReadKept(instance.Dir())
	if err != nil {
		return why.Facts{}, err
	}
	for _, k := range kept {
		facts.Approvals = append(facts.Approvals, why.Approval{ID: k.ID, Allow: k.Allow, By: k.By, At: k.ApprovedAt, Kept: true})
	}
	desk, err := proposal.OpenDesk(instance.Dir(), identity)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !instance.Owned() {
		if desk != nil {
			desk.Close()
		}
		facts.Plan, _ = proposal.ApplyKept(launched, kept) // what a resume would have
		return facts, nil
	}
	if err != nil {
		return why.Facts{}, err
	}
	defer desk.Close()
	return withDesk(facts, desk)
}

// withDesk adds what is in force now. What of the queue cannot be read is told by
// `bottle supervise list`; the plan in force is whole without it.
func withDesk(facts why.Facts, desk *proposal.Desk) (why.Facts, error) {
	current, err := desk.Current()
	if err != nil {
		return why.Facts{}, err
	}
	facts.Plan = current
	views, _ := desk.List()
	for _, view := range views {
		allow := view.Proposal.Allow
		switch {
		case allow == nil:
		case view.Outcome != nil && view.Outcome.Status == ask.Approved && view.Decision != nil && !view.Decision.Keep:
			facts.Approvals = append(facts.Approvals, why.Approval{ID: view.Proposal.ID, Allow: *allow, By: view.Decision.By, At: view.Decision.DecidedAt})
		case view.Status == ask.Pending && view.Decision == nil:
			facts.Waiting = append(facts.Waiting, why.Waiting{ID: view.Proposal.ID, Allow: *allow})
		}
	}
	return facts, nil
}
