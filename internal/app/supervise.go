package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
	"strings"
	"time"

	"bottle.internal/internal/proposal"
	"bottle.internal/internal/state"
)

const (
	// shortID is how much of an ID is shown and is enough to type, as long as it is unique.
	shortID    = 12
	minIDStart = 4
	// decisionPatience is how long a living bottle has to carry a decision out.
	decisionPatience = 3 * time.Second
)

// Proposal is what the agent of one bottle asked for.
type Proposal struct {
	Identity string `json:"bottle"`
	Live     bool   `json:"live"` // a process owns the bottle and carries decisions out
	proposal.View
}

// Short is the beginning of the ID that is shown.
func (p Proposal) Short() string { return p.Proposal.ID[:shortID] }

// Proposals returns what the agents of all bottles, or of one, asked for, oldest first in
// each bottle. What cannot be read is told beside it.
func (a *App) Proposals(_ context.Context, identity string) ([]Proposal, []error) {
	instances, problems, err := a.supervised(identity)
	if err != nil {
		return nil, []error{err}
	}
	all := []Proposal{}
	for _, instance := range instances {
		desk, err := proposal.OpenDesk(instance.Dir(), string(instance.ID))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", instance.ID, err))
			continue
		}
		views, unreadable := desk.List()
		desk.Close()
		for _, problem := range unreadable {
			problems = append(problems, fmt.Errorf("%s: %w", instance.ID, problem))
		}
		live := len(views) > 0 && instance.Owned()
		for _, view := range views {
			all = append(all, Proposal{Identity: string(instance.ID), Live: live, View: view})
		}
	}
	return all, problems
}

func (a *App) supervised(identity string) ([]*state.Instance, []error, error) {
	if identity == "" {
		instances, problems := a.state.List()
		return instances, problems, nil
	}
	instance, err := a.open(identity)
	if err != nil {
		return nil, nil, err
	}
	return []*state.Instance{instance}, nil, nil
}

// ShowProposal returns the proposal whose ID begins with start, and remembers that it was
// looked at.
func (a *App) ShowProposal(_ context.Context, start string) (Proposal, error) {
	instance, desk, id, err := a.findProposal(start)
	if err != nil {
		return Proposal{}, err
	}
	defer desk.Close()
	view, err := desk.Show(id)
	return Proposal{Identity: string(instance.ID), Live: instance.Owned(), View: view}, a.explainDecision(id, err)
}

// Decide records what the operator says to the proposal whose ID begins with start. While
// the bottle lives it waits until that is in force; an Outcome is in the answer then.
func (a *App) Decide(ctx context.Context, start string, answer proposal.Answer) (Proposal, error) {
	instance, desk, id, err := a.findProposal(start)
	if err != nil {
		return Proposal{}, err
	}
	defer desk.Close()
	answer.By = a.operator()
	view, err := desk.Decide(id, answer)
	decided := Proposal{Identity: string(instance.ID), Live: instance.Owned(), View: view}
	if err != nil || !decided.Live {
		return decided, a.explainDecision(id, err)
	}
	ctx, cancel := context.WithTimeout(ctx, decisionPatience)
	defer cancel()
	outcome, err := desk.Await(ctx, id)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return decided, nil
	case err != nil:
		return decided, err
	}
	decided.Outcome, decided.Status = &outcome, outcome.Status
	return decided, nil
}

func (a *App) operator() string {
	if who, err := user.LookupId(strconv.Itoa(a.config.UID)); err == nil {
		return who.Username
	}
	return fmt.Sprintf("uid %d", a.config.UID)
}

func (a *App) explainDecision(id string, err error) error {
	credential := (*proposal.CredentialError)(nil)
	show := "bottle supervise show " + id[:shortID]
	switch {
	case errors.Is(err, proposal.ErrStale):
		return &Problem{Err: err, Hints: []string{show}}
	case errors.Is(err, proposal.ErrDecided):
		return &Problem{Err: err, Hints: []string{show}}
	case errors.As(err, &credential):
		return &Problem{Err: err, Hints: []string{"bottle supervise approve " + id[:shortID] + " --with-credential HOST"}}
	}
	return err
}

// findProposal looks through all bottles. Its caller closes the desk.
func (a *App) findProposal(start string) (*state.Instance, *proposal.Desk, string, error) {
	if len(start) < minIDStart || len(start) > 64 || strings.Trim(start, "0123456789abcdef") != "" {
		return nil, nil, "", &Problem{
			Text:  fmt.Sprintf("%.70q is no id of a proposal: at least %d of its digits", start, minIDStart),
			Hints: []string{"bottle supervise list"},
		}
	}
	type place struct {
		instance *state.Instance
		id       string
	}
	instances, _ := a.state.List()
	var found []place
	var problems []error
	for _, instance := range instances {
		ids, err := proposalIDs(instance)
		if err != nil {
			problems = append(problems, err)
		}
		for _, id := range ids {
			if strings.HasPrefix(id, start) {
				found = append(found, place{instance, id})
			}
		}
	}
	switch len(found) {
	case 1:
		desk, err := proposal.OpenDesk(found[0].instance.Dir(), string(found[0].instance.ID))
		return found[0].instance, desk, found[0].id, err
	case 0:
		return nil, nil, "", errors.Join(append(problems, &Problem{
			Text: "there is no proposal " + start, Hints: []string{"bottle supervise list"},
		})...)
	}
	ambiguous := &Problem{Text: fmt.Sprintf("%d proposals begin with %s", len(found), start)}
	for _, p := range found {
		ambiguous.Hints = append(ambiguous.Hints, fmt.Sprintf("bottle supervise show %s", p.id))
	}
	return nil, nil, "", ambiguous
}

func proposalIDs(instance *state.Instance) ([]string, error) {
	desk, err := proposal.OpenDesk(instance.Dir(), string(instance.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", instance.ID, err)
	}
	defer desk.Close()
	return desk.IDs()
}
