package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// Every rule has its rows, and every row still applies: what it takes away is there once,
// what is left is Go, and its test exists. Whether the test catches it, the program says.
func TestTable(t *testing.T) {
	t.Parallel()
	rules, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range rules {
		if one.Rule != i+1 || one.Name == "" || len(one.Clause)+len(one.Open) == 0 {
			t.Errorf("rule %d %q is number %d and has %d clauses", one.Rule, one.Name, i+1, len(one.Clause))
		}
		for _, c := range one.Clause {
			t.Run(c.id, func(t *testing.T) {
				t.Parallel()
				checkClause(t, c)
			})
		}
	}
	if len(rules) != 30 {
		t.Errorf("there are %d rules, not 30", len(rules))
	}
}

func checkClause(t *testing.T, c clause) {
	t.Helper()
	if c.Says == "" || !slices.Contains([]string{"", "docker", "vm", "curl", "npm"}, c.Needs) {
		t.Errorf("it says %q and needs %q", c.Says, c.Needs)
	}
	files, err := mutate(root, c)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if _, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution); err != nil {
			t.Errorf("without the rule it is no Go: %v", err)
		}
	}
	tests, err := filepath.Glob(filepath.Join(root, c.Package, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	declaration := regexp.MustCompile(`(?m)^func ` + c.top() + `\(`)
	if !slices.ContainsFunc(tests, func(name string) bool {
		text, err := os.ReadFile(name)
		return err == nil && declaration.Match(text)
	}) {
		t.Errorf("there is no test %s", c.name())
	}
}

// What is open is said where people look.
func TestSecurityDocNamesTheGaps(t *testing.T) {
	t.Parallel()
	rules, err := load()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range rules {
		for _, gap := range one.Open {
			if gap.Why == "" || !strings.Contains(string(text), gap.Says) {
				t.Errorf("docs/security.md does not name the gap %q of rule %d (%s)", gap.Says, one.Rule, gap.Why)
			}
		}
	}
}
