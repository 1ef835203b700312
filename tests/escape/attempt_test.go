//go:build integration && linux

package escape

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/tests/integration/rig"
)

// attack is what the program in the guest is told; it is the Attack of testdata/probe.
type attack struct {
	probe.Probe
	Say []string `json:"say,omitempty"`
}

// attempt is an attack and how the host knows that it fails.
type attempt struct {
	name     string
	attack   attack
	root     bool
	control  func() (string, error) // reaches the target, and says from where
	counter  string                 // of [scene.counts]: the control moves it, the guest must not
	saying   string                 // begins what the guest must see; "" for anything
	expected string                 // for people; "blocked" if empty
	reaches  bool                   // it is an allowed way: it must work, as the control of others
	once     bool                   // the control is one for several, and moves the counter once
	silent   bool                   // what the guest sees says nothing: the counter alone decides
}

func (a attempt) row() row {
	r := row{probe: a.name, expected: a.expected}
	switch {
	case r.expected != "":
	case a.reaches:
		r.expected = "answers"
	default:
		r.expected = "blocked"
	}
	return r
}

// attempts reaches all targets by their controls, lets the guest try all of them in one
// command for root and one for the agent, and compares.
func (s *scene) attempts(t *testing.T, list []attempt) {
	t.Helper()
	before := s.counts(t)
	proofs := make([]string, len(list))
	problems := make([]string, len(list))
	for i, a := range list {
		if a.control == nil {
			continue
		}
		var err error
		if proofs[i], err = a.control(); err != nil {
			problems[i] = "the control does not reach it"
			proofs[i] = err.Error()
		}
	}
	armed := s.counts(t)
	said := append(s.try(t, true, list), s.try(t, false, list)...)
	after := s.counts(t)
	for i, a := range list {
		r := a.row()
		r.control = proofs[i]
		problem := problems[i]
		if a.counter != "" {
			moved := armed[a.counter] - before[a.counter]
			came := after[a.counter] - armed[a.counter]
			if !a.reaches {
				r.control += ", counted"
			}
			if problem == "" && !a.reaches && moved < sharing(list, a.counter) {
				problem = fmt.Sprintf("the target has counted %d controls", moved)
			}
			if problem == "" && (came > 0) != a.reaches && !others(list, said, i) {
				problem = fmt.Sprintf("it was reached %d times", came)
			}
			r.observed = fmt.Sprintf("%d came", came)
		}
		r, problem = compare(a, r, problem, said)
		table.add(t, r, problem)
	}
}

// others tells that somebody else of the same counter says that it got through, and this one
// does not.
func others(list []attempt, said []probe.Observation, i int) bool {
	through := func(a attempt) bool {
		return slices.ContainsFunc(said, func(o probe.Observation) bool { return o.Name == a.name && o.Reached })
	}
	return !through(list[i]) && slices.ContainsFunc(list, func(a attempt) bool { return a.counter == list[i].counter && !a.reaches && through(a) })
}

// sharing is how many controls a counter must have counted.
func sharing(list []attempt, counter string) (n int) {
	for _, a := range list {
		if a.counter == counter && !a.reaches && !a.once {
			n++
		}
	}
	return max(n, 1)
}

// compare looks at what the guest says, which alone is no proof.
func compare(a attempt, r row, problem string, said []probe.Observation) (row, string) {
	i := slices.IndexFunc(said, func(o probe.Observation) bool { return o.Name == a.name })
	if i < 0 {
		return r, "the guest does not say"
	}
	r.observed = strings.TrimSuffix(said[i].Saw+"; "+r.observed, "; ")
	switch {
	case problem != "", a.silent:
	case said[i].Reached != a.reaches:
		problem = "the guest says that it is otherwise"
	case !strings.HasPrefix(said[i].Saw, a.saying):
		problem = fmt.Sprintf("the guest does not see %q", a.saying)
	}
	return r, problem
}

// try lets the guest's root, or its agent, do its part of the list.
func (s *scene) try(t *testing.T, root bool, list []attempt) []probe.Observation {
	t.Helper()
	var attacks []attack
	for _, a := range list {
		if a.root == root {
			a.attack.Name = a.name
			attacks = append(attacks, a.attack)
		}
	}
	if len(attacks) == 0 {
		return nil
	}
	data, err := json.Marshal(attacks)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"exec", s.id, "--", guestProbe, "attack"}
	if root {
		args = slices.Insert(args, 1, "--root")
	}
	result, err := rig.RunProgram(t.Context(), execx.Cmd{Path: s.Bottle, Args: args, Env: s.Env, Dir: s.Dir, Stdin: bytes.NewReader(data)})
	if err != nil || result.Code != 0 {
		t.Fatalf("the guest's attacks: %v, %s", err, result)
	}
	var said []probe.Observation
	if err := json.Unmarshal([]byte(result.Stdout), &said); err != nil {
		t.Fatalf("%v: %s", err, result)
	}
	return said
}
