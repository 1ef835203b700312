package manifest_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
)

// FuzzLoad: no bytes make Load panic; whatever it accepts is safe to use in paths, the
// same twice; whatever it refuses is refused in printable words.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, false)
		f.Add(data, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, cwd bool) {
		sources := manifest.Sources{User: manifest.Source{Path: "bottle.toml", Data: data}}
		if cwd {
			sources.User.Data = []byte("[bottles.dev]\nallow_cwd_agents = true\n")
			sources.Cwd = &manifest.Source{Path: "./bottle.toml", Data: data}
		}
		set, err := manifest.Load(sources)
		if err != nil {
			problems := (*manifest.Problems)(nil)
			if !errors.As(err, &problems) || len(problems.List) == 0 {
				t.Fatalf("Load() = %v, which is no list of problems", err)
			}
			for _, problem := range problems.List {
				if strings.ContainsFunc(problem.String(), func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Fatalf("a problem does not print plainly: %q", problem)
				}
			}
			return
		}
		checkSet(t, set, cwd)
		if again, err := manifest.Load(sources); err != nil || !reflect.DeepEqual(set, again) {
			t.Fatalf("the second Load differs: %v", err)
		}
	})
}

func checkSet(t *testing.T, set *manifest.Set, cwd bool) {
	t.Helper()
	safe := func(name string) {
		if names.Validate(name) != nil || !filepath.IsLocal(name) || filepath.Base(name) != name {
			t.Fatalf("%q is not safe as a path element", name)
		}
	}
	if cwd && (len(set.Bottles) != 1 || len(set.Bottles["dev"].Routes) != 0) {
		t.Fatalf("the working directory changed the bottles: %+v", set.Bottles)
	}
	for name, agent := range set.Agents {
		safe(name)
		for _, skill := range agent.Skills {
			safe(skill)
		}
		if _, ok := set.Bottles[agent.Bottle]; !ok {
			t.Fatalf("agent %q has no bottle", name)
		}
	}
	for name, bottle := range set.Bottles {
		safe(name)
		for _, remote := range bottle.Remotes {
			safe(remote.Name)
		}
		for _, route := range bottle.Routes {
			if route.Auth != nil && (route.Methods == nil || route.Paths == nil) {
				t.Fatalf("a credential without limits: %+v", route)
			}
			if strings.Trim(route.Host, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" || !strings.Contains(route.Host, ".") {
				t.Fatalf("an odd host: %q", route.Host)
			}
		}
	}
}
