// Package archtest holds the import rules of the repository: who may know whom.
package archtest

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
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
		"internal/event":    {"internal/bytesize", "internal/printable"},
		"internal/execx":    {"internal/excerpt", "internal/secret"},
		"internal/state":    {"internal/names", "internal/ownsock"},
		"internal/manifest": {"internal/forge", "internal/guestapi", "internal/names", "internal/nearest"},
		"internal/starter":  {"internal/plan"},
		"internal/plan":     {"internal/bytesize", "internal/guestapi", "internal/manifest", "internal/names", "internal/nearest", "internal/printable"},
		"internal/link":     {"internal/ownsock", "internal/secret"},
		"internal/ownsock":  {},
		"internal/termsafe": {},
		"internal/agentlog": {"internal/termsafe"},
		"internal/console":  {"internal/guestexec", "internal/link", "internal/printable", "internal/termsafe"},
		"internal/detach":   {"internal/event", "internal/plan"},
		"internal/control":  {"internal/secret"},
		"internal/guestapi": {},

		// a program in the guest, as the host runs it
		"internal/guestexec": {"internal/guestapi", "pkg/smolvm"},

		// what a person sees
		"internal/cli/board": {"internal/app", "internal/ask", "internal/printable", "internal/proposal"},

		// what images are made of, and who vouches for them
		"internal/lockfile":        {},
		"internal/imagesign":       {"internal/secret"},
		"internal/verifybuild":     {},
		"internal/manifest/schema": {"internal/manifest"},

		// the boundary: what the guest tries, and how the host judges it
		"internal/guest/probe": {},
		"internal/boundary":    {"internal/guest/probe", "internal/printable"},

		// what a launch takes back, what its receipt counts, and the proof
		"internal/launch/undo":  {},
		"internal/launch/tally": {"internal/canary", "internal/printable"},
		"internal/launch/proof": {
			"internal/boundary", "internal/daemons", "internal/excerpt", "internal/guest/probe", "internal/guestapi", "internal/guestexec", "internal/plan",
			"internal/printable", "pkg/provision", "pkg/smolvm",
		},

		// what killed processes left
		"internal/leftovers": {"internal/launch", "internal/names", "internal/state", "pkg/bundle", "pkg/smolvm"},

		// what a bottle's rules are made of, on the host
		"internal/overseer": {
			"internal/ask", "internal/ca", "internal/canary", "internal/control", "internal/daemons", "internal/egress", "internal/firewall",
			"internal/firewall/pipelock", "internal/gitgate", "internal/plan", "internal/proposal", "internal/rules", "internal/secret", "internal/sshagent",
			"internal/token",
		},
		// what the daemons decide by, and what they would say
		"internal/rules": {"internal/egress", "internal/firewall", "internal/forge", "internal/gitgate", "internal/plan"},
		"internal/why": {
			"internal/ask", "internal/egress", "internal/firewall", "internal/firewall/requestscan", "internal/forge", "internal/gitgate", "internal/nearest",
			"internal/plan", "internal/printable", "internal/proposal", "internal/rules", "internal/urlpart/hostname",
		},
		"internal/proposal":     {"internal/ask", "internal/forge", "internal/names", "internal/plan", "internal/printable", "internal/state"},
		"internal/token":        {"internal/execx", "internal/printable", "internal/secret"},
		"internal/audit":        {"internal/printable", "internal/secret"},
		"internal/timeline":     {"internal/audit", "internal/printable"},
		"internal/audit/report": {"internal/audit", "internal/bytesize", "internal/printable"},
		"internal/sshagent":     {"internal/secret"},
		"internal/ca":           {"internal/secret", "internal/urlpart/hostname"},

		// copy-in and copy-out: the guest's half knows the stream and the walk, not the host's
		"internal/guest/carry":         {"internal/execx", "internal/guestapi", "internal/workspace", "internal/workspace/walk", "internal/workspace/wire"},
		"internal/workspace":           {"internal/printable"},
		"internal/workspace/pathcheck": {"internal/workspace"},
		"internal/workspace/wire":      {"internal/workspace", "internal/workspace/pathcheck"},
		"internal/workspace/listing":   {"internal/bytesize", "internal/execx", "internal/workspace", "internal/workspace/pathcheck", "internal/workspace/walk"},
		"internal/workspace/staging":   {"internal/workspace", "internal/workspace/wire"},
		"internal/workspace/walk":      {"internal/workspace", "internal/workspace/pathcheck"},
		"internal/workspace/changes":   {"internal/bytesize", "internal/printable", "internal/workspace", "internal/workspace/pathcheck", "internal/workspace/staging"},
		"internal/workspace/apply":     {"internal/workspace", "internal/workspace/pathcheck"},
		"internal/workspace/transfer": {
			"internal/bytesize", "internal/event", "internal/excerpt", "internal/guestapi", "internal/guestexec", "internal/state", "internal/workspace",
			"internal/workspace/apply", "internal/workspace/changes", "internal/workspace/listing", "internal/workspace/staging", "internal/workspace/wire",
		},

		// what runs in the bundle: a daemon knows its channel and what it decides with
		"internal/canary":           {"internal/needle", "internal/secret"},
		"internal/daemons":          {},
		"internal/journal":          {},
		"internal/boundedlisten":    {},
		"internal/printable":        {},
		"internal/urlpart/hostname": {},
		"internal/urlpart/urlpath":  {},
		"internal/urlpart/urlquery": {},
		"internal/digest":           {"internal/filestamp"},
		"internal/filestamp":        {},
		"internal/netguard":         {"internal/printable", "internal/urlpart/hostname"},
		"internal/ask":              {"internal/names", "internal/urlpart/hostname", "internal/urlpart/urlpath"},
		"internal/gate":             {"internal/control", "internal/link", "internal/secret"},
		"internal/firewall": {
			"internal/boundedlisten", "internal/canary", "internal/control", "internal/journal", "internal/names", "internal/netguard",
			"internal/printable", "internal/secret", "internal/urlpart/hostname", "internal/urlpart/urlpath", "internal/urlpart/urlquery",
		},
		"internal/egress": {
			"internal/boundedlisten", "internal/ca", "internal/canary", "internal/control", "internal/journal", "internal/needle", "internal/netguard",
			"internal/printable", "internal/secret", "internal/urlpart/hostname", "internal/urlpart/urlpath", "internal/urlpart/urlquery",
		},
		"internal/gitgate": {
			"internal/boundedlisten", "internal/canary", "internal/control", "internal/excerpt", "internal/execx", "internal/journal", "internal/names",
			"internal/netguard", "internal/ownsock", "internal/printable", "internal/urlpart/hostname",
		},
		"internal/supervise": {"internal/ask", "internal/control", "internal/journal"},
		"internal/initd":     {"internal/control", "internal/execx", "internal/ownsock"},
		"internal/bytesize":  {},
		"internal/excerpt":   {},
		"internal/gitleaks":  {},
		"internal/needle":    {},
		"internal/fuzzing":   {"internal/excerpt", "internal/execx"},
		"internal/sbom":      {},
		"internal/prebuilt":  {},

		// the same bottle in a cluster
		"internal/cluster":           {"internal/control", "internal/daemons", "internal/link"},
		"internal/outfit":            {"internal/plan", "pkg/provision"},
		"internal/render/kubernetes": {"internal/cluster", "internal/daemons", "internal/guestapi", "internal/plan", "pkg/provision"},

		"pkg/bundle":    {},
		"pkg/provision": {},
		"pkg/smolvm":    {"internal/execx", "internal/secret"},
	}
}

// neverReach lists what a package must not depend on, however indirectly.
func neverReach() map[string][]string {
	effects := []string{"os/exec", "net/http", "github.com/moby/moby/client", "github.com/google/go-containerregistry/pkg/v1"}
	return map[string][]string{
		"internal/names":         effects,
		"internal/manifest":      effects,
		"internal/plan":          effects,
		"internal/starter":       effects,
		"internal/echo/model":    {"os/exec"},
		"pkg/provision":          effects,
		"internal/guestapi":      effects,
		"internal/proposal":      effects,
		"internal/audit":         effects,
		"internal/sshagent":      effects,
		"internal/lockfile":      effects,
		"internal/imagesign":     effects,
		"internal/netguard":      effects,
		"internal/canary":        effects,
		"internal/daemons":       effects,
		"internal/journal":       effects,
		"internal/sbom":          {"os/exec", "github.com/moby/moby/client"},
		"internal/boundedlisten": effects,
		"internal/printable":     effects,
		"internal/outfit":        effects,
		"internal/overseer":      {"github.com/moby/moby/client"},
		// What writes manifests opens nothing; its constants come with the daemons' channel.
		"internal/render/kubernetes": {"os/exec", "net/http", "github.com/moby/moby/client"},
		// No program runs on what a guest sent: not git, not diff, not tar.
		"internal/workspace/wire":    effects,
		"internal/workspace/staging": effects,
		"internal/workspace/changes": effects,
		"internal/workspace/apply":   effects,
		// These three have nothing to start: who takes one over finds no way to a program.
		"internal/gate":   {"os/exec"},
		"internal/egress": {"os/exec"},
		"pkg/bundle":      {"os/exec"},
		"cmd/lite-init":   {"net/http"},

		"internal/manifest/schema": {"os/exec", "net/http"},
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
// not import; the stand-in VM tool is a program of its own; what unpacks in a guest has
// nothing to do on the host.
func TestProgramsStayApart(t *testing.T) {
	t.Parallel()
	host := host()
	for pkg, prefixes := range map[string][]string{
		"images/agent/guest": {"internal/app", "internal/launch", "internal/lite", "pkg/"},
		"images/bundle":      append(host, "internal/lite", "pkg/"),
		"cmd/smolvm-lite":    {"internal/app", "internal/launch", "internal/plan", "pkg/"},
		"cmd/bottle":         {"internal/guest/carry", "internal/guest/receive"},
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

// host are the packages of the host's side: manifests, plans, tokens and keys are theirs.
func host() []string {
	return []string{
		"internal/app", "internal/cli", "internal/guestexec", "internal/launch", "internal/plan", "internal/manifest", "internal/overseer",
		"internal/rules", "internal/why", "internal/sidecar", "internal/state", "internal/token", "internal/audit", "internal/sshagent",
	}
}

// A daemon that is taken over should find nothing of the host in its program, and no other
// daemon's code but what both decide with.
func TestDaemonsKnowNothingOfTheHost(t *testing.T) {
	t.Parallel()
	daemons := map[string][]string{
		"internal/gate":      {"internal/proposal"},
		"internal/firewall":  {"internal/proposal", "internal/ca"},
		"internal/egress":    {"internal/proposal"},
		"internal/gitgate":   {"internal/proposal", "internal/ca"},
		"internal/supervise": {"internal/ca", "internal/netguard"},
		"internal/initd":     {"internal/proposal", "internal/ca", "internal/netguard"},
	}
	for pkg, more := range daemons {
		forbidden := append(host(), more...)
		for other := range daemons {
			if other != pkg {
				forbidden = append(forbidden, other)
			}
		}
		for _, dep := range list(t, "{{range .Deps}}{{.}}\n{{end}}", pkg) {
			// hostname, urlpath and ask are the rules that two of them share
			ours := strings.TrimPrefix(dep, module)
			if ours != dep && slices.Contains(forbidden, ours) {
				t.Errorf("%s reaches %s", pkg, ours)
			}
		}
	}
}

// Everything else goes through internal/execx, which gives a program its own group and no
// environment that it was not meant to have.
func TestOneWayToStartPrograms(t *testing.T) {
	t.Parallel()
	for _, line := range lines(t, "{{.ImportPath}} {{range .Imports}}{{.}} {{end}}", "...") {
		pkg, imports, _ := strings.Cut(line, " ")
		if slices.Contains(strings.Fields(imports), "os/exec") && pkg != module+"internal/execx" {
			t.Errorf("%s imports os/exec", pkg)
		}
	}
}

// What differs between systems is decided by functions that are told the system, so that
// tests can ask for another one. These are the edges that look.
func TestWhoLooksAtTheSystem(t *testing.T) {
	t.Parallel()
	edges := []string{"internal/app/app.go", "internal/gitgate/git.go", "internal/doctor/doctor.go", "internal/ownsock/ownsock.go"}
	err := filepath.WalkDir("../..", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		place := strings.TrimPrefix(filepath.ToSlash(name), "../../")
		if strings.HasPrefix(place, "tests/") || slices.Contains(edges, place) {
			return nil
		}
		text, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(text), "runtime."+"GOOS") {
			t.Errorf("%s looks at the system it runs on: take it as an argument", place)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
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
	return strings.Fields(strings.Join(lines(t, format, pkg), "\n"))
}

func lines(t *testing.T, format, pkg string) []string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "go", "list", "-f", format, path.Join(module, pkg))
	cmd.Env = append(cmd.Environ(), "GOOS=linux")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pkg, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// `mage integration` names every package that has tests of its kind, and runs them all.
func TestIntegrationNamesItsPackages(t *testing.T) {
	t.Parallel()
	magefile, err := os.ReadFile("../../magefile.go")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("../..", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		first, _, _ := strings.Cut(string(text), "\n")
		if err != nil || !strings.HasPrefix(first, "//go:build ") || !strings.Contains(first, "integration") {
			return err
		}
		dir := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(name), "../../"))
		named := func(pattern string) bool { return strings.Contains(string(magefile), `"./`+pattern+`"`) }
		if !named(dir) && !named(dir+"/...") && !named(path.Dir(dir)+"/...") {
			t.Errorf("the target integration leaves ./%s out", dir)
		}
		for line := range strings.Lines(string(text)) {
			name, isTest := strings.CutPrefix(line, "func Test")
			if isTest && !strings.HasPrefix(dir, "tests/") && !strings.HasPrefix(name, "Real") && !strings.HasPrefix(name, "Main(") {
				t.Errorf("the target integration does not run Test%s in ./%s: its name does not begin with TestReal", strings.TrimSpace(name), dir)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
