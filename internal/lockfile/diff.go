package lockfile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Change is one thing that differs between two locks. Was or Now is empty for what is new
// or gone.
type Change struct {
	Part string `json:"part"` // "base linux/amd64 debian bookworm"
	What string `json:"what"` // "curl", "version", "integrity"
	Was  string `json:"was,omitempty"`
	Now  string `json:"now,omitempty"`
}

// String is a line for people.
func (c Change) String() string {
	switch {
	case c.Was == "":
		return fmt.Sprintf("+ %s %s", c.What, c.Now)
	case c.Now == "":
		return fmt.Sprintf("- %s %s", c.What, c.Was)
	}
	return fmt.Sprintf("~ %s %s -> %s", c.What, c.Was, c.Now)
}

// Diff says what changed, in the order of the file.
func Diff(was, now File) []Change {
	before, after := was.facts(), now.facts()
	parts := map[string]bool{}
	for _, fact := range append(slices.Clone(before), after...) {
		parts[fact.part] = true
	}
	var changes []Change
	for _, part := range slices.SortedFunc(maps.Keys(parts), byPart) {
		changes = append(changes, compare(part, before.of(part), after.of(part))...)
	}
	return changes
}

// PackageChanges compares two lists of name=version.
func PackageChanges(was, now []string) []Change {
	return compare("", versions(was), versions(now))
}

// Text is a list of changes for people, by part.
func Text(changes []Change) string {
	var out strings.Builder
	part := ""
	for _, change := range changes {
		if change.Part != part {
			part = change.Part
			fmt.Fprintln(&out, part)
		}
		fmt.Fprintln(&out, "  "+change.String())
	}
	return out.String()
}

type fact struct{ part, what, value string }

type facts []fact

func (f facts) of(part string) map[string]string {
	values := map[string]string{}
	for _, one := range f {
		if one.part == part {
			values[one.what] = one.value
		}
	}
	return values
}

// facts lists everything in a lock that can change.
func (f File) facts() facts {
	var all facts
	add := func(part string, pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] != "" {
				all = append(all, fact{part, pairs[i], pairs[i+1]})
			}
		}
	}
	for _, base := range f.Bases {
		part := "base " + base.Platform + " " + base.From
		if len(base.Packages) == 0 {
			add(part, "digest", base.Digest)
		}
		for name, version := range versions(base.Packages) {
			add(part, name, version)
		}
	}
	for _, npm := range f.Npm {
		add("npm "+npm.Tool+" "+npm.Platform, "package", npm.Package, "version", npm.Version, "integrity", npm.Integrity)
	}
	if f.Pipelock != nil {
		add("pipelock", "version", f.Pipelock.Version, "sha256", f.Pipelock.SHA256)
	}
	for _, tool := range f.Seen {
		add("seen "+tool.Name, "version", tool.Version, "digest", tool.Digest)
	}
	return all
}

func versions(packages []string) map[string]string {
	all := map[string]string{}
	for _, one := range packages {
		name, version, _ := strings.Cut(one, "=")
		all[name] = version
	}
	return all
}

func compare(part string, was, now map[string]string) []Change {
	names := map[string]bool{}
	for name := range was {
		names[name] = true
	}
	for name := range now {
		names[name] = true
	}
	var changes []Change
	for _, name := range slices.SortedFunc(maps.Keys(names), versionFirst) {
		if was[name] != now[name] {
			changes = append(changes, Change{Part: part, What: name, Was: was[name], Now: now[name]})
		}
	}
	return changes
}

// byPart puts what pins before what was only seen.
func byPart(a, b string) int {
	rank := func(part string) int {
		kind, _, _ := strings.Cut(part, " ")
		return slices.Index([]string{"base", "npm", "pipelock", "seen"}, kind)
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// versionFirst puts a version before its digest.
func versionFirst(a, b string) int {
	rank := func(what string) int {
		if what == "version" {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}
