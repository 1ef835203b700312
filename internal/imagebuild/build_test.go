package imagebuild_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/imagebuild"
	"bottle.internal/tests/golden"
)

const tiny = `base = "scratch"
workdir = "/home/agent/work"
cmd = ["/usr/local/bin/guest", "serve"]
[env]
LANG = "C.UTF-8"
[[user]]
name = "agent"
uid = 1000
gid = 1000
home = "/home/agent"
shell = "/bin/sh"
[[directory]]
path = "/home/agent/work"
mode = "0750"
owner = "agent"
[[directory]]
path = "/tmp"
mode = "1777"
[[files]]
from = "files"
to = "/"
executable = ["usr/bin/greet"]
`

const withProgram = tiny + `[[program]]
package = "./tool"
to = "/usr/local/bin/guest"
`

// TestGolden pins the bytes. A new digest here means that everybody's images change:
// say so in the change log. A newer compressor is one cause; the diff ids tell.
func TestGolden(t *testing.T) {
	t.Parallel()
	result := build(t, config(t), recipe(t, tiny), imagebuild.Selection{Platform: linux("amd64")})
	valid(t, result.image)
	manifest, err := result.image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	configFile, err := result.image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	got := "key " + result.key + "\nimage " + result.digest + "\n" + string(manifest) + "\n" + string(configFile) + "\n"
	golden.Check(t, "testdata/tiny.golden", got)
}

func TestImageContent(t *testing.T) {
	t.Parallel()
	registry := serveNpm(t)
	text := withProgram + "[[npm]]\ntool = \"claude\"\n" + registry.publish(t, "claude", "amd64") +
		"[[npm]]\ntool = \"codex\"\n" + registry.publish(t, "codex", "amd64")
	settings := config(t)
	registry.use(&settings)
	result := build(t, settings, recipe(t, text), imagebuild.Selection{Platform: linux("amd64"), Tools: []string{"claude"}})
	valid(t, result.image)
	got := tree(t, result.image)
	for name, want := range map[string]string{
		"/etc/passwd":            "0 644 0:0 root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000::/home/agent:/bin/sh",
		"/etc/group":             "0 644 0:0 root:x:0:\nagent:x:1000:",
		"/etc/shadow":            "0 600 0:0 root:*:20454:0:99999:7:::\nagent:*:20454:0:99999:7:::",
		"/etc/motd":              "0 644 0:0 hello",
		"/usr/bin/greet":         "0 755 0:0 #!/bin/sh\necho hi",
		"/tmp":                   "5 1777 0:0",
		"/home/agent":            "5 755 1000:1000",
		"/home/agent/work":       "5 750 1000:1000",
		"/opt/claude/bin/claude": "0 755 0:0 program claude amd64",
		"/usr/local/bin/claude":  "2 777 0:0 /opt/claude/bin/claude",
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
	if !strings.HasPrefix(got["/usr/local/bin/guest"], "0 755 0:0 ") {
		t.Errorf("the program is %q", got["/usr/local/bin/guest"])
	}
	if _, there := got["/usr/local/bin/codex"]; there {
		t.Error("a tool that was not asked for is in the image")
	}
	file, err := result.image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if diff := cmp.Diff(want, file.Config.Env); diff != "" || file.Config.User != "" || file.Config.WorkingDir != "/home/agent/work" {
		t.Errorf("config = %+v", file.Config)
	}
}

func TestSameDigestInTwoDirectoriesForBothPlatforms(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			registry := serveNpm(t)
			text := withProgram + "[[npm]]\ntool = \"claude\"\n" + registry.publish(t, "claude", arch)
			var results []built
			for range 2 {
				settings := config(t)
				registry.use(&settings)
				results = append(results, build(t, settings, recipe(t, text), imagebuild.Selection{Platform: linux(arch), Tools: []string{"claude"}}))
			}
			valid(t, results[0].image)
			if results[0].digest != results[1].digest || results[0].key != results[1].key {
				t.Errorf("digests %s and %s, keys %s and %s", results[0].digest, results[1].digest, results[0].key, results[1].key)
			}
			file, err := results[0].image.ConfigFile()
			if err != nil || file.Architecture != arch {
				t.Errorf("config = %+v, %v", file, err)
			}
		})
	}
}

func TestPlanBuildsAndDownloadsNothing(t *testing.T) {
	t.Parallel()
	registry := serveNpm(t)
	text := withProgram + "[[npm]]\ntool = \"claude\"\n" + registry.publish(t, "claude", "amd64")
	settings := config(t)
	registry.use(&settings)
	loaded, selection := recipe(t, text), imagebuild.Selection{Platform: linux("amd64"), Tools: []string{"claude"}}
	job, err := imagebuild.New(settings).Plan(t.Context(), loaded, selection)
	if err != nil {
		t.Fatal(err)
	}
	if layers, err := os.ReadDir(filepath.Join(settings.CacheDir, "layers")); !errors.Is(err, fs.ErrNotExist) || registry.asked > 0 {
		t.Errorf("layers %v, %v; %d requests", layers, err, registry.asked)
	}
	if result := build(t, settings, loaded, selection); result.key != job.Key() {
		t.Error("building changed the key")
	}
	var names []string
	for _, part := range job.Explain() {
		names = append(names, part.Name)
	}
	want := "format, platform, base, layer claude, layer accounts, layer files files, layer programs, config"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("the key is made of %s", got)
	}
}

// TestWarmBuildDoesNothing replaces the content of every layer by holes of the same
// size: a build that read one would notice.
func TestWarmBuildDoesNothing(t *testing.T) {
	t.Parallel()
	registry := serveNpm(t)
	text := withProgram + "[[npm]]\ntool = \"claude\"\n" + registry.publish(t, "claude", "amd64")
	settings := config(t)
	registry.use(&settings)
	loaded, selection := recipe(t, text), imagebuild.Selection{Platform: linux("amd64"), Tools: []string{"claude"}}
	cold := build(t, settings, loaded, selection)
	asked := registry.asked
	for _, file := range layerFiles(t, settings.CacheDir) {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Truncate(file, 0), os.Truncate(file, info.Size())); err != nil {
			t.Fatal(err)
		}
	}
	log := &journal{}
	settings.Events = log
	warm := build(t, settings, loaded, selection)
	if warm.digest != cold.digest || log.text() != "" || registry.asked != asked {
		t.Errorf("digest %s, want %s; events %q; %d new requests", warm.digest, cold.digest, log.text(), registry.asked-asked)
	}
}

func layerFiles(t *testing.T, cache string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(cache, "layers", "*.layer"))
	if err != nil || len(files) == 0 {
		t.Fatalf("layers: %v, %v", files, err)
	}
	return files
}

func TestTruncatedLayersAreMadeAgain(t *testing.T) {
	t.Parallel()
	settings := config(t)
	loaded, selection := recipe(t, withProgram), imagebuild.Selection{Platform: linux("amd64")}
	cold := build(t, settings, loaded, selection)
	for _, file := range layerFiles(t, settings.CacheDir) {
		if err := os.Truncate(file, 5); err != nil {
			t.Fatal(err)
		}
	}
	again := build(t, settings, loaded, selection)
	valid(t, again.image)
	if again.digest != cold.digest {
		t.Errorf("digest %s, want %s", again.digest, cold.digest)
	}
}
