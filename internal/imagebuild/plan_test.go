package imagebuild_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bottle.internal/internal/imagebuild"
)

// TestWhatChangesTheKey changes one thing at a time.
func TestWhatChangesTheKey(t *testing.T) {
	t.Parallel()
	settings := config(t)
	plan := func(recipe *imagebuild.Recipe, arch string) string {
		job, err := imagebuild.New(settings).Plan(t.Context(), recipe, imagebuild.Selection{Platform: linux(arch)})
		if err != nil {
			t.Fatal(err)
		}
		return job.Key()
	}
	first := plan(recipe(t, withProgram), "amd64")
	if again := plan(recipe(t, "# a comment\n"+withProgram), "amd64"); again != first {
		t.Error("a comment changed the key")
	}
	for name, change := range map[string][2]string{
		"env":       {"C.UTF-8", "C"},
		"cmd":       {`"serve"`, `"idle"`},
		"workdir":   {`workdir = "/home/agent/work"`, `workdir = "/"`},
		"uid":       {"uid = 1000", "uid = 1001"},
		"mode":      {`"0750"`, `"0755"`},
		"execution": {`["usr/bin/greet"]`, "[]"},
		"program":   {"/usr/local/bin/guest\"\n", "/usr/local/bin/other\"\n"},
	} {
		if changed := strings.Replace(withProgram, change[0], change[1], 1); plan(recipe(t, changed), "amd64") == first {
			t.Errorf("%s does not change the key", name)
		}
	}
	if plan(recipe(t, withProgram), "arm64") == first {
		t.Error("the platform does not change the key")
	}
	source := filepath.Join(settings.Programs.Root, "tool", "m.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() { println(\"changed\") }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if plan(recipe(t, withProgram), "amd64") == first {
		t.Error("the source of a program does not change the key")
	}
}

func TestConcurrentBuildsMakeEachLayerOnce(t *testing.T) {
	t.Parallel()
	settings := config(t)
	log := &journal{}
	settings.Events = log
	loaded := recipe(t, tiny)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { build(t, settings, loaded, imagebuild.Selection{Platform: linux("amd64")}) })
	}
	group.Wait()
	for _, line := range []string{"start layer accounts", "start layer files files"} {
		if strings.Count(log.text(), line+"\n") != 1 {
			t.Errorf("%q is not there once in:\n%s", line, log.text())
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	registry := serveNpm(t)
	npm := "[[npm]]\ntool = \"claude\"\n" + registry.publish(t, "claude", "amd64")
	clear(registry.packages)
	for _, test := range []struct {
		name, text, want string
		selection        imagebuild.Selection
	}{
		{"platform", tiny, "images are made for linux/amd64 and linux/arm64, not for darwin/arm64", imagebuild.Selection{Platform: imagebuild.Platform{OS: "darwin", Architecture: "arm64"}}},
		{"tool", tiny + npm, `the image tiny has no tool "emacs"; it has: claude`, imagebuild.Selection{Platform: linux("amd64"), Tools: []string{"emacs"}}},
		{"tool for another platform", tiny + npm, "the tool claude is not pinned for linux/arm64\ngo tool mage update", imagebuild.Selection{Platform: linux("arm64"), Tools: []string{"claude"}}},
		{
			"gone from the registry", tiny + npm,
			"building the image tiny for linux/amd64: fetching npm package claude-amd64 1.0.0: not found on " + strings.TrimPrefix(registry.URL, "http://"),
			imagebuild.Selection{Platform: linux("amd64"), Tools: []string{"claude"}},
		},
		{"engine", strings.Replace(tiny, `"scratch"`, `"docker:mine"`, 1), "base docker:mine needs a container engine\nstart Docker, or choose another base with BOTTLE_BASE", imagebuild.Selection{Platform: linux("amd64")}},
		{"relative path", strings.Replace(tiny, `"scratch"`, `"layout:here"`, 1), `the recipe tiny is not on disk, so the relative path "here" leads nowhere`, imagebuild.Selection{Platform: linux("amd64")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			settings := config(t)
			registry.use(&settings)
			if got := fails(t, settings, recipe(t, test.text), test.selection); got != test.want {
				t.Errorf("err = %s\nwant  %s", got, test.want)
			}
			if left := leftovers(t, settings.CacheDir); len(left) > 0 && test.name != "gone from the registry" {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestCancelledBuildLeavesNothing(t *testing.T) {
	t.Parallel()
	settings := config(t)
	job, err := imagebuild.New(settings).Plan(t.Context(), recipe(t, tiny), imagebuild.Selection{Platform: linux("amd64")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := job.Build(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	if left := leftovers(t, settings.CacheDir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
