// Package changes compares three trees: the base that went in, what the guest sent, and the
// host as it is now. It decides what can be applied, what needs a second question, what
// the host has changed meanwhile, and what is refused.
//
// It reads the host and changes nothing.
package changes

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/pathcheck"
	"bottle.internal/internal/workspace/staging"
)

// Change is what the guest did to one path.
type Change struct {
	Path      workspace.Name  `json:"path"`
	Old       workspace.State `json:"old"` // on the host, now
	New       workspace.State `json:"new"`
	Sensitive string          `json:"sensitive,omitempty"` // why it needs a second question
	Conflict  string          `json:"conflict,omitempty"`  // what the host did to it meanwhile
	Refused   string          `json:"refused,omitempty"`   // why it is never applied
	Added     int             `json:"added"`               // lines
	Removed   int             `json:"removed"`
	Binary    bool            `json:"binary,omitempty"`

	base workspace.State
}

// Verb says it in a word.
func (c Change) Verb() string {
	switch {
	case c.New.Kind == workspace.Absent:
		return "deleted"
	case c.base.Kind == workspace.Absent:
		return "new"
	}
	return "changed"
}

// Set is all that the guest did.
type Set struct {
	Changes []Change // in the order of their paths
	Same    []Change // the host has them already
	Stage   *staging.Stage
	root    *os.Root
}

// Rules say what needs a second question.
type Rules struct{ Protected []string }

// Compare makes the set. root is the host's directory.
func Compare(base workspace.Base, stage *staging.Stage, root *os.Root, rules Rules) (*Set, error) {
	set := &Set{Stage: stage, root: root}
	sensitive := pathcheck.NewGlobs(slices.Concat(pathcheck.SensitiveNames(), rules.Protected))
	tree, clashes := grow(base, stage)
	leaving := newLeaving(base, stage)
	for _, name := range paths(stage) {
		change := Change{Path: workspace.Name(name), New: stage.Changed[name], base: base[name]}
		if change.New == change.base { // also what it says is gone and never went in
			continue
		}
		change.Old, change.Conflict = look(root, name, leaving)
		switch {
		case change.Conflict != "":
		case change.Old == change.New:
			set.Same = append(set.Same, change)
			continue
		case change.Old != change.base:
			change.Conflict = conflict(change)
		}
		change.Refused = refuse(change, clashes[name], tree)
		if change.Refused == "" && change.New.Kind == workspace.Link {
			change.Refused = throughHost(root, name, string(change.New.Target))
		}
		change.Sensitive = needsQuestion(change, sensitive)
		set.count(&change)
		set.Changes = append(set.Changes, change)
	}
	return set, nil
}

// look returns what the host has at a path, or why that cannot be told. A file where a
// directory was, and the other way round, is nothing in the way if the guest deleted it.
func look(root *os.Root, name string, gone leaving) (state workspace.State, conflict string) {
	state, err := workspace.Look(root, name)
	noDir := (*workspace.NoDirectoryError)(nil)
	switch {
	case errors.As(err, &noDir) && gone.above(name), err == nil && state.Kind == workspace.Dir && gone.dirs[name]:
		return workspace.State{}, ""
	case err != nil:
		return state, err.Error()
	}
	return state, ""
}

// leaving is what the guest deleted, and the directories of that.
type leaving struct{ paths, dirs map[string]bool }

func newLeaving(base workspace.Base, stage *staging.Stage) leaving {
	gone := leaving{map[string]bool{}, map[string]bool{}}
	for name := range stage.Gone {
		if _, ok := base[name]; !ok {
			continue
		}
		gone.paths[name] = true
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			gone.dirs[dir] = true
		}
	}
	return gone
}

func (l leaving) above(name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if l.paths[dir] {
			return true
		}
	}
	return false
}

// paths are those that the guest said something of.
func paths(stage *staging.Stage) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(stage.Changed)), maps.Keys(stage.Gone))
	slices.Sort(all)
	return all
}

// grow makes the tree as the guest has it, and finds what cannot be beside what.
func grow(base workspace.Base, stage *staging.Stage) (*pathcheck.Tree, map[string]error) {
	tree, clashes := pathcheck.NewTree(), map[string]error{}
	for _, name := range base.Paths() {
		if !stage.Gone[name] {
			tree.Keep(name)
		}
	}
	for _, name := range paths(stage) {
		if _, old := base[name]; old || stage.Changed[name].Kind == workspace.Absent {
			continue
		}
		if err := tree.Add(name); err != nil {
			clashes[name] = err
		}
	}
	return tree, clashes
}

func refuse(c Change, clash error, tree *pathcheck.Tree) string {
	if c.New.Kind == workspace.Absent {
		return ""
	}
	if clash != nil {
		return clash.Error()
	}
	if c.New.Kind == workspace.Link {
		if err := pathcheck.CheckLink(string(c.Path), string(c.New.Target)); err != nil {
			return err.Error()
		}
	}
	if dir, found := pathcheck.BareRepository(string(c.Path), tree.Has); found {
		return fmt.Sprintf("%s would be a git repository without .git", workspace.Name(dir).Show())
	}
	return ""
}

// throughHost refuses a link that leaves by way of a link that only the host has.
func throughHost(root *os.Root, name, target string) string {
	_, err := root.Stat(path.Join(path.Dir(name), target))
	if err != nil && strings.Contains(err.Error(), "escapes from parent") {
		return "a link that leads out of the directory, by a link of the host's"
	}
	return ""
}

func conflict(c Change) string {
	switch {
	case c.base.Kind == workspace.Absent:
		return "the host has one that did not go in"
	case c.Old.Kind == workspace.Absent:
		return "deleted on the host meanwhile"
	}
	return "changed on the host meanwhile"
}

func needsQuestion(c Change, sensitive pathcheck.Globs) string {
	if pattern, found := sensitive.Match(string(c.Path)); found {
		return pattern
	}
	if c.New.Exec && !c.base.Exec {
		return "a new executable"
	}
	return ""
}

// Choice says which changes are wanted.
type Choice struct{ Sensitive, SkipConflicts bool }

// ConflictError says that the host changed meanwhile.
type ConflictError struct {
	Count int
	Paths []workspace.Name // the first ones
}

func (e *ConflictError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d of the changes are to what the host has changed meanwhile; nothing was written", e.Count)
	for _, name := range e.Paths {
		text.WriteString("\n  " + name.Show())
	}
	return text.String()
}

// Select returns what is to be applied, or a ConflictError.
func (s *Set) Select(choice Choice) ([]Change, error) {
	var selected []Change
	problem := &ConflictError{}
	for _, c := range s.Changes {
		switch {
		case c.Refused != "", c.Sensitive != "" && !choice.Sensitive:
		case c.Conflict == "":
			selected = append(selected, c)
		case !choice.SkipConflicts:
			if problem.Count++; problem.Count <= 10 {
				problem.Paths = append(problem.Paths, c.Path)
			}
		}
	}
	if problem.Count > 0 {
		return nil, problem
	}
	return selected, nil
}

// Rebase puts what the host now has as the guest does into the base, so that the next
// copy-out starts from there.
func (s *Set) Rebase(base workspace.Base, applied []Change) {
	for _, c := range slices.Concat(s.Same, applied) {
		if c.New.Kind == workspace.Absent {
			delete(base, string(c.Path))
			continue
		}
		base[string(c.Path)] = c.New
	}
}
