package gitleaks_test

import (
	"testing"

	"bottle.internal/internal/gitleaks"
)

// What one caller makes of the rules is no other's.
func TestRules(t *testing.T) {
	t.Parallel()
	first, err := gitleaks.Rules()
	if err != nil {
		t.Fatal(err)
	}
	if rule, ok := first.Rules["github-pat"]; !ok || rule.Regex == nil {
		t.Fatalf("there is no rule for a token of GitHub among %d", len(first.Rules))
	}
	clear(first.Rules)
	second, err := gitleaks.Rules()
	if err != nil || len(second.Rules) < 100 {
		t.Errorf("%d rules, %v", len(second.Rules), err)
	}
}
