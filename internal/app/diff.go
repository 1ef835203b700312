package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/state"
)

// PlanDiff says what a bottle would get by today's manifest.
type PlanDiff struct {
	Identity string       `json:"identity"`
	Agent    string       `json:"agent"`
	Widens   bool         `json:"widens"`
	Changes  plan.Changes `json:"changes"`
}

// DiffPlan compares the plan of a bottle with the one that a new launch of it would have.
func (a *App) DiffPlan(ctx context.Context, identity, agent string) (PlanDiff, error) {
	before, err := a.StoredPlan(identity)
	if err != nil {
		return PlanDiff{}, err
	}
	if agent == "" {
		agent = before.Agent
	}
	after, err := a.Plan(ctx, PlanRequest{Agent: agent, Identity: names.Identity(identity), Asks: true})
	if err != nil {
		return PlanDiff{}, err
	}
	changes := plan.Diff(before, after)
	return PlanDiff{Identity: identity, Agent: agent, Widens: changes.Widens(), Changes: changes}, nil
}

// StoredPlan is what a bottle was launched with, without what was approved since.
func (a *App) StoredPlan(identity string) (plan.Plan, error) {
	instance, err := a.open(identity)
	if err != nil {
		return plan.Plan{}, err
	}
	return storedPlan(instance)
}

func storedPlan(instance *state.Instance) (plan.Plan, error) {
	var p plan.Plan
	data, err := os.ReadFile(instance.Path(state.PlanFile))
	if errors.Is(err, fs.ErrNotExist) {
		return plan.Plan{}, &Problem{
			Text:  fmt.Sprintf("%s has no plan: its start broke off before there was one", instance.ID),
			Hints: []string{"bottle stop " + string(instance.ID)},
		}
	}
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err == nil && p.Identity != string(instance.ID) {
		err = fmt.Errorf("it belongs to %q", p.Identity)
	}
	if err != nil {
		return plan.Plan{}, fmt.Errorf("reading the plan of %s: %w", instance.ID, err)
	}
	return p, nil
}
