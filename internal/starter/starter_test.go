package starter_test

import (
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/starter"
	"bottle.internal/tests/golden"
)

// TestManifest: every template in both forms loads, plans without a warning that is not about
// a credential, and names no host but the template's own.
func TestManifest(t *testing.T) {
	t.Parallel()
	for _, template := range starter.Templates() {
		for _, try := range []bool{false, true} {
			name := template
			if try {
				name += "-try"
			}
			o := starter.Options{Template: template, Try: try}
			text, err := starter.Manifest(o)
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/"+name+".toml", text)
			p := planOf(t, text, template)
			checkRoutes(t, name, p)
			if try {
				if p.Supervise != true || len(p.Git.Remotes) != 1 || !p.Git.Remotes[0].Echo || len(p.Warnings) != 0 {
					t.Errorf("%s: %+v %q", name, p.Git, p.Warnings)
				}
				for _, route := range p.Egress {
					if route.Auth.Source != "cmd" || !strings.HasSuffix(route.Host, ".test") {
						t.Errorf("%s needs %s and %s", name, route.Host, route.Auth)
					}
				}
			}
			// What to export is exactly what the plan misses.
			var missing []string
			for _, warning := range p.Warnings {
				if _, rest, ok := strings.Cut(warning, " has no credential: env:"); ok {
					missing = append(missing, strings.TrimSuffix(rest, " is not there, so egress will answer 502"))
				}
			}
			var exported []string
			for _, line := range starter.Exports(o) {
				variable, _, _ := strings.Cut(strings.TrimPrefix(line, "export "), "=")
				exported = append(exported, variable)
			}
			if !slices.Equal(missing, exported) {
				t.Errorf("%s: the plan misses %q, and init says to export %q", name, missing, exported)
			}
		}
	}
}

// TestNotADemo: the demo has its manifest in the source.
func TestNotADemo(t *testing.T) {
	t.Parallel()
	_, err := starter.Manifest(starter.Options{Template: "demo"})
	if want := `there is no template "demo" to begin with; templates: claude, codex, opencode, shell`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// checkRoutes: rule 7, a credential goes with explicit methods and paths, never all of them.
func checkRoutes(t *testing.T, name string, p plan.Plan) {
	t.Helper()
	for _, route := range p.Egress {
		if route.Auth == nil || len(route.Methods) == 0 || len(route.Paths) == 0 || slices.Contains(route.Paths, "/") {
			t.Errorf("%s: the route of %s: %+v", name, route.Host, route)
		}
	}
	for _, host := range p.Firewall.Hosts {
		if host.Mode != "routed" {
			t.Errorf("%s: %s is a plain route", name, host.Host)
		}
	}
}

func planOf(t *testing.T, text, agent string) plan.Plan {
	t.Helper()
	set, err := manifest.Load(manifest.Sources{User: manifest.Source{Path: "bottle.toml", Data: []byte(text)}})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	p, err := plan.Resolve(set, plan.Request{Agent: agent, Identity: names.Identity(agent + "-x7k2p"), Terminal: true}, plan.Facts{
		VMTool: plan.VMTool{Name: "smolvm-lite", Version: "1.9.3"}, FirewallEngine: "builtin", RecipeKey: "k",
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
