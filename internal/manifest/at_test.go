package manifest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/manifest"
)

// TestAt: everything knows the line where it was written, also when it is inherited.
func TestAt(t *testing.T) {
	t.Parallel()
	set, err := manifest.Load(manifest.Sources{
		User: manifest.Source{Path: "my manifest.toml", Data: []byte(`[bottles.base]
env = { A = "1", B = "2" }
supervise = true
echo = ["g.bottle.test"]
[bottles.base.resources]
cpus = 1
memory = "1GiB"
[[bottles.base.egress.routes]]
paths = ["/"]
host = "a.example.com"
[[bottles.base.git.remotes]]
name = "app"
upstream = "ssh://git@g.bottle.test/app.git"
[bottles.child]
extends = "base"
allow_cwd_agents = true
env = { B = "3" }
resources.cpus = 2
git.user = { name = "a", email = "a@example.com" }
[bottles.own]
extends = "child"
egress.routes = [
  { host = "b.example.com" },
]
`)},
		Cwd: &manifest.Source{Path: "./bottle.toml", Data: []byte("\n[agents.x]\nbottle = \"child\"\ntemplate = \"shell\"\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	child, own := set.Bottles["child"], set.Bottles["own"]
	const user = `"my manifest.toml":`
	for what, places := range map[string][2]string{
		"an agent":             {set.Agents["x"].At(), "./bottle.toml:2"},
		"a bottle":             {child.At(""), user + "14"},
		"what is inherited":    {child.At("supervise"), user + "3"},
		"a variable":           {child.At("env.B"), user + "17"},
		"an inherited one":     {child.At("env.A"), user + "2"},
		"a resource":           {child.At("resources.cpus"), user + "18"},
		"an inherited size":    {child.At("resources.memory"), user + "7"},
		"a table of one value": {own.At("git.user"), user + "19"},
		"what nobody wrote":    {child.At("on_canary"), ""},
		"an inherited route":   {child.Routes[0].At(), user + "10"},
		"a route in a list":    {own.Routes[0].At(), user + "23"},
		"a remote":             {own.Remotes[0].At(), user + "12"},
		"the bottle of routes": {child.RoutesIn() + " " + own.RoutesIn(), "base own"},
		"of remotes":           {child.RemotesIn() + " " + own.RemotesIn(), "base base"},
	} {
		if diff := cmp.Diff(places[1], places[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}
