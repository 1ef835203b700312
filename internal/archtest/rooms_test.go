package archtest

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// What lies below a package belongs to it: who goes in there knows the package too, and what
// others use without it has a place of its own.
func TestInnerRooms(t *testing.T) {
	t.Parallel()
	imports := map[string][]string{}
	for _, line := range lines(t, "{{.ImportPath}} {{range .Imports}}{{.}} {{end}}", "...") {
		pkg, imported, _ := strings.Cut(line, " ")
		imports[pkg] = strings.Fields(imported)
	}
	// The types of a manifest say what may be in it, and cli prints that.
	allowed := []string{"internal/cli internal/manifest/schema"}
	for pkg, imported := range imports {
		for _, inner := range imported {
			outer := path.Dir(inner)
			if imports[outer] == nil || pkg == outer || strings.HasPrefix(pkg, outer+"/") || slices.Contains(imported, outer) {
				continue
			}
			way := strings.TrimPrefix(pkg, module) + " " + strings.TrimPrefix(inner, module)
			if !slices.Contains(allowed, way) {
				t.Errorf("%s goes into %s without %s", strings.TrimPrefix(pkg, module), strings.TrimPrefix(inner, module), path.Base(outer))
			}
		}
	}
}
