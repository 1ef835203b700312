package archtest

import (
	"slices"
	"strings"
	"testing"
)

// What helps tests is in packages of its own, below tests/ or with a name that ends in test:
// no program has it inside.
func TestOnlyTestsUseWhatHelpsThem(t *testing.T) {
	t.Parallel()
	helps := func(pkg string) bool {
		return strings.HasPrefix(pkg, module+"tests/") || strings.HasSuffix(pkg, "test") || pkg == "testing"
	}
	for _, line := range lines(t, "{{.ImportPath}} {{range .Imports}}{{.}} {{end}}", "...") {
		pkg, imports, _ := strings.Cut(line, " ")
		if used := slices.IndexFunc(strings.Fields(imports), helps); used >= 0 && !helps(pkg) {
			t.Errorf("%s imports %s: only tests may", pkg, strings.Fields(imports)[used])
		}
	}
}
