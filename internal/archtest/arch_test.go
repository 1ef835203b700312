// Package archtest holds the import rules of the repository: who may know whom.
package archtest

import (
	"context"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "bottle.internal/"

// mayImport lists, for packages whose place matters, which packages of ours they may
// import directly. A package that is not listed is free, but see the other tests.
func mayImport() map[string][]string {
	return map[string][]string{
		"cmd/bottle":        {"internal/cli", "internal/app"},
		"internal/names":    {},
		"internal/secret":   {},
		"internal/event":    {},
		"internal/execx":    {"internal/secret"},
		"internal/state":    {"internal/names"},
		"internal/manifest": {"internal/names", "internal/event", "internal/guest"},
		"internal/plan":     {"internal/names", "internal/event", "internal/guest", "internal/manifest"},
		"internal/link":     {"internal/secret"},
		"internal/control":  {"internal/link", "internal/secret", "internal/event"},
		"internal/guest":    {},
		"pkg/bundle":        {},
		"pkg/provision":     {},
		"pkg/smolvm":        {"internal/execx", "internal/secret"},
	}
}

// neverReach lists what a package must not depend on, however indirectly.
func neverReach() map[string][]string {
	effects := []string{"os/exec", "net/http", "github.com/moby/moby/client", "github.com/google/go-containerregistry/pkg/v1"}
	return map[string][]string{
		"internal/names":    effects,
		"internal/manifest": effects,
		"internal/plan":     effects,
		"pkg/provision":     effects,
		"internal/guest":    effects,
		"pkg/bundle":        {"os/exec"},
		"cmd/lite-init":     {"net/http"},
	}
}

func TestDirectImports(t *testing.T) {
	t.Parallel()
	for pkg, allowed := range mayImport() {
		for _, imported := range list(t, "{{range .Imports}}{{.}}\n{{end}}", pkg) {
			ours, ok := strings.CutPrefix(imported, module)
			if ok && !slices.Contains(allowed, ours) && !strings.HasPrefix(ours, pkg+"/") {
				t.Errorf("%s imports %s: it may import %v", pkg, ours, allowed)
			}
		}
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	for pkg, forbidden := range neverReach() {
		deps := list(t, "{{range .Deps}}{{.}}\n{{end}}", pkg)
		for _, bad := range forbidden {
			if slices.Contains(deps, bad) {
				t.Errorf("%s reaches %s", pkg, bad)
			}
		}
	}
}

// The guest's and the bundle's programs are small and static because of what they do
// not import; the stand-in VM tool is a program of its own.
func TestProgramsStayApart(t *testing.T) {
	t.Parallel()
	for pkg, prefixes := range map[string][]string{
		"images/agent/guest": {"internal/app", "internal/launch", "internal/lite", "pkg/"},
		"images/bundle":      {"internal/app", "internal/launch", "internal/lite", "pkg/"},
		"cmd/smolvm-lite":    {"internal/app", "internal/launch", "internal/plan", "pkg/"},
	} {
		for _, dep := range list(t, "{{range .Deps}}{{.}}\n{{end}}", pkg) {
			ours, ok := strings.CutPrefix(dep, module)
			if !ok {
				continue
			}
			for _, prefix := range prefixes {
				if strings.HasPrefix(ours, prefix) {
					t.Errorf("%s reaches %s", pkg, ours)
				}
			}
		}
	}
}

// Siblings under pkg/ never import each other.
func TestSiblings(t *testing.T) {
	t.Parallel()
	siblings := []string{"pkg/smolvm", "pkg/bundle", "pkg/provision"}
	for _, pkg := range siblings {
		for _, dep := range list(t, "{{range .Deps}}{{.}}\n{{end}}", pkg) {
			ours, ok := strings.CutPrefix(dep, module)
			if ok && ours != pkg && slices.Contains(siblings, ours) {
				t.Errorf("%s reaches %s", pkg, ours)
			}
		}
	}
}

func list(t *testing.T, format, pkg string) []string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "go", "list", "-f", format, path.Join(module, pkg))
	cmd.Env = append(cmd.Environ(), "GOOS=linux")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pkg, err)
	}
	return strings.Fields(string(out))
}
