package proposal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/state"
)

// Kept is an approval that holds after a resume too.
type Kept struct {
	ID         string    `json:"id"`
	Allow      ask.Allow `json:"egress_allow"`
	Credential bool      `json:"with_credential"` // it may widen a route that carries one
	ApprovedAt time.Time `json:"approved_at"`
	By         string    `json:"by"`
}

type keptFile struct {
	Approved []Kept `json:"approved"`
}

const maxApproved = 1 << 20

func (q *Queue) keep(p Proposal, d Decision) error {
	kept, err := readKept(q.store)
	if err != nil {
		return err
	}
	kept = slices.DeleteFunc(kept, func(k Kept) bool { return k.ID == p.ID })
	kept = append(kept, Kept{
		ID: p.ID, Allow: *p.Allow, Credential: d.WithCredential == p.Allow.Host, ApprovedAt: d.DecidedAt, By: d.By,
	})
	_, err = q.store.write(state.ApprovedFile, keptFile{Approved: kept})
	return err
}

// ReadKept reads the approvals that the operator wanted to keep, in the order in which they
// were given; none is no error.
func ReadKept(instance string) ([]Kept, error) {
	s, err := openStore(instance, true)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return readKept(s)
}

func readKept(s *store) ([]Kept, error) {
	raw, err := s.read(state.ApprovedFile, maxApproved)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var file keptFile
	if err == nil {
		err = ask.Decode(raw, &file)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", state.ApprovedFile, err)
	}
	for _, kept := range file.Approved {
		if again, err := kept.Allow.Canonical([]string{kept.Allow.Host}); err != nil {
			return nil, fmt.Errorf("reading %s: %w", state.ApprovedFile, err)
		} else if !bytes.Equal(ask.Marshal(again), ask.Marshal(kept.Allow)) {
			return nil, fmt.Errorf("reading %s: %s is not in canonical form", state.ApprovedFile, kept.Allow.Host)
		}
	}
	return file.Approved, nil
}

// ApplyKept returns p with the kept approvals in it. One that does not fit the plan any more
// (its route got a credential, or became a plain one) is left out and told.
func ApplyKept(p plan.Plan, kept []Kept) (plan.Plan, []error) {
	var problems []error
	for _, k := range kept {
		if Covers(p, k.Allow) {
			continue
		}
		credential := ""
		if k.Credential {
			credential = k.Allow.Host
		}
		next, _, err := Apply(p, k.Allow, credential)
		if err != nil {
			problems = append(problems, fmt.Errorf("approval %.12s is left out: %w", k.ID, err))
			continue
		}
		p = next
	}
	return p, problems
}

// readCurrent reads the plan that the owner has in force.
func readCurrent(s *store) (plan.Plan, error) {
	var p plan.Plan
	raw, err := s.read(currentFile, maxCurrent)
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		return p, fmt.Errorf("reading the routes in force: %w", err)
	}
	return p, nil
}
