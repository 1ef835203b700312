package main

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"
)

//go:embed table/*.toml
var tables embed.FS

// rule is one file of the table.
type rule struct {
	Rule   int      `toml:"rule"`
	Name   string   `toml:"name"`
	Clause []clause `toml:"clause"`
	Open   []open   `toml:"open"`
}

// clause is one part of a rule, how to take it away, and the test that must fail then.
type clause struct {
	Says    string `toml:"says"`
	Package string `toml:"package"` // of the test
	Test    string `toml:"test"`    // a name, with / one of a subtest
	Needs   string `toml:"needs"`   // "docker", "vm", "curl" or "npm"; "" for a unit test
	edit
	// Also has further edits, for what is checked twice.
	Also []edit `toml:"also"`

	id string // such as 4.2
}

// edit exchanges a text that occurs once in a file.
type edit struct {
	File    string `toml:"file"`
	Find    string `toml:"find"`
	Replace string `toml:"replace"`
}

// open is a clause that is not built, or that no test shows.
type open struct {
	Says string `toml:"says"`
	Why  string `toml:"why"`
}

func (c clause) edits() []edit { return append([]edit{c.edit}, c.Also...) }

func (c clause) name() string { return c.Package + " " + c.Test }

// top is the test without its subtest.
func (c clause) top() string {
	name, _, _ := strings.Cut(c.Test, "/")
	return name
}

// pattern is what -run takes for this test alone.
func (c clause) pattern() string {
	parts := strings.Split(strings.ReplaceAll(c.Test, " ", "_"), "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

// load reads the table, by number of rule.
func load() ([]rule, error) {
	names, err := fs.Glob(tables, "table/*.toml")
	if err != nil {
		return nil, err
	}
	var rules []rule
	for _, name := range names {
		var r rule
		meta, err := toml.DecodeFS(tables, name, &r)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		if unknown := meta.Undecoded(); len(unknown) > 0 {
			return nil, fmt.Errorf("reading %s: unknown key %s", name, unknown[0])
		}
		for i := range r.Clause {
			r.Clause[i].id = fmt.Sprintf("%d.%d", r.Rule, i+1)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// mutate returns the files that a clause changes, by name below root.
func mutate(root string, c clause) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range c.edits() {
		text, ok := files[e.File]
		if !ok {
			data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File)))
			if err != nil {
				return nil, err
			}
			text = string(data)
		}
		if n := strings.Count(text, e.Find); n != 1 || e.Find == "" {
			return nil, fmt.Errorf("its text occurs %d times in %s, not once: %q", n, e.File, e.Find)
		}
		if e.Find == e.Replace {
			return nil, fmt.Errorf("it changes nothing in %s", e.File)
		}
		files[e.File] = strings.Replace(text, e.Find, e.Replace, 1)
	}
	return files, nil
}
