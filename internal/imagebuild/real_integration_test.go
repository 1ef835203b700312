//go:build integration

package imagebuild_test

import (
	"archive/tar"
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"bottle.internal/images"
	"bottle.internal/internal/event"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/imagebuild/debian"
	"bottle.internal/internal/imagebuild/npm"
	"bottle.internal/internal/lockfile"
	"bottle.internal/tests/need"
)

// realConfig is a builder's on this host with an empty cache.
func realConfig(t *testing.T) imagebuild.Config {
	t.Helper()
	root, err := gobuild.FindRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, lockfile.Name))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := lockfile.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	return imagebuild.Config{
		CacheDir: cache,
		Root:     filepath.Join(root, "images"),
		Programs: &gobuild.Builder{Root: root, CacheDir: cache, Env: os.Environ()},
		Base: imagebuild.BaseOptions{Choice: "debian", Debian: debian.Host{
			Root: os.DirFS("/"), Env: os.Environ(), OS: runtime.GOOS, Arch: runtime.GOARCH, UID: os.Getuid(), User: me.Username,
		}},
		Npm: imagebuild.NpmOptions{Lock: lock, Host: npm.Host{Env: os.Environ(), Dir: root, Home: me.HomeDir}},
		Events: event.SinkFunc(func(_ context.Context, e event.Event) {
			if e.Kind != event.Progress {
				t.Logf("%s %s %s", e.Kind, e.Step, e.Text)
			}
		}),
	}
}

func agentRecipe(t *testing.T) *imagebuild.Recipe {
	t.Helper()
	loaded, err := imagebuild.LoadRecipe(images.Recipes(), "agent")
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func needDebian(t *testing.T) {
	t.Helper()
	_, err := execx.Find("mmdebstrap")
	need.Need(t, "base", err)
}

// TestRealDebianBaseTwice makes the agent's image on two real bases in two caches.
func TestRealDebianBaseTwice(t *testing.T) {
	needDebian(t)
	var results []built
	var last imagebuild.Config
	for range 2 {
		last = realConfig(t)
		start := time.Now()
		results = append(results, build(t, last, agentRecipe(t), imagebuild.Selection{Platform: linux(runtime.GOARCH)}))
		t.Logf("cold base and image: %v", time.Since(start))
	}
	if results[0].digest != results[1].digest || results[0].key != results[1].key {
		t.Errorf("digests %s and %s, keys %s and %s", results[0].digest, results[1].digest, results[0].key, results[1].key)
	}
	valid(t, results[1].image)
	start := time.Now()
	warm := build(t, last, agentRecipe(t), imagebuild.Selection{Platform: linux(runtime.GOARCH)})
	t.Logf("warm plan and build: %v", time.Since(start))
	// Somebody may edit our programs while this runs; another key is then right.
	if warm.key == results[1].key && warm.digest != results[1].digest {
		t.Errorf("warm digest %s, want %s", warm.digest, results[1].digest)
	}
	if left := leftovers(t, last.CacheDir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	checkBase(t, results[1])
}

// checkBase looks for what the guest needs, and for what must not be there.
func checkBase(t *testing.T, result built) {
	t.Helper()
	got := tree(t, result.image)
	for _, name := range []string{"/usr/bin/git", "/usr/bin/curl", "/usr/bin/rg", "/usr/bin/ssh", "/usr/bin/less", "/usr/bin/bash", "/usr/sbin/update-ca-certificates", "/usr/local/bin/bottle-guest"} {
		if got[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"/etc/resolv.conf", "/etc/hostname"} {
		if got[name] != "" {
			t.Errorf("%s is this host's own: %s", name, got[name])
		}
	}
	for name, line := range got {
		if strings.HasPrefix(line, string(rune(tar.TypeBlock))) || strings.HasPrefix(line, string(rune(tar.TypeChar))) {
			t.Errorf("%s is a device: %s", name, line)
		}
	}
	if !strings.Contains(got["/etc/passwd"], "agent:x:1000:1000::/home/agent:/bin/bash") && !strings.Contains(got["/etc/passwd"], "bytes") {
		t.Errorf("/etc/passwd = %s", got["/etc/passwd"])
	}
	// The certificates are Debian's: what this host trusts besides them stays here.
	host, err := os.ReadDir("/usr/local/share/ca-certificates")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, file := range host {
		if got["/usr/local/share/ca-certificates/"+file.Name()] != "" {
			t.Errorf("the host's certificate %s is in the image", file.Name())
		}
	}
}

// TestRealClaudeLayer downloads Claude Code and makes its layer on an empty base.
func TestRealClaudeLayer(t *testing.T) {
	settings := realConfig(t)
	npmSettings, err := npm.Load(t.Context(), settings.Npm.Host)
	if err != nil {
		t.Fatal(err)
	}
	_, err = npmSettings.Registry("@anthropic-ai/claude-code-linux-x64")
	need.Need(t, "npm", err)
	recipe := agentRecipe(t)
	recipe.Base = "scratch"
	start := time.Now()
	selection := imagebuild.Selection{Platform: linux("amd64"), Tools: []string{"claude"}}
	cold := build(t, settings, recipe, selection)
	t.Logf("cold claude image without a base: %v", time.Since(start))
	start = time.Now()
	warm := build(t, settings, recipe, selection)
	t.Logf("warm plan and build: %v", time.Since(start))
	if warm.digest != cold.digest {
		t.Errorf("digests %s and %s", cold.digest, warm.digest)
	}
	valid(t, cold.image)
	if got := tree(t, cold.image)["/opt/claude/claude"]; !strings.HasPrefix(got, "0 755 0:0 ") {
		t.Errorf("/opt/claude/claude = %s", got)
	}
}
