package app

import (
	"archive/tar"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"bottle.internal/internal/event"
	"bottle.internal/internal/lockfile"
	"bottle.internal/tests/fakeimage"
)

const oneTool = "base = \"scratch\"\n[[npm]]\ntool = \"claude\"\n[npm.amd64]\npackage = \"claude\"\nfiles = [\"a\"]\n"

// newest is a registry that calls a version of everything the latest.
func newest(t *testing.T, version *string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"version":%q,"dist":{"integrity":"sha512-%s"}}`, *version, strings.Repeat((*version)[:1], 85)+"A==")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// An update shows what it changes, changes it once, and the lock is never half written.
func TestUpdate(t *testing.T) {
	version := "1.0.0"
	a := newApp(t, "NPM_CONFIG_REGISTRY="+newest(t, &version))
	a.source = t.TempDir()
	writeFile(t, filepath.Join(a.source, "images", agentRecipe, "image.toml"), oneTool)
	update := func(dry bool, parts ...string) string {
		t.Helper()
		done, err := a.Update(t.Context(), UpdateRequest{Parts: parts, DryRun: dry})
		if err != nil {
			t.Fatal(err)
		}
		if want := !dry && len(done.Changes) > 0; done.Written != want {
			t.Errorf("written: %v, and there are %d changes", done.Written, len(done.Changes))
		}
		return lockfile.Text(done.Changes)
	}
	if got := update(true, PartNpm); !strings.HasPrefix(got, "npm claude linux/amd64\n  + version 1.0.0\n") {
		t.Errorf("changes:\n%s", got)
	}
	if _, err := os.Stat(a.lockPath()); err == nil {
		t.Error("a dry run has written a lock")
	}
	update(false, PartNpm, PartBase, PartPipelock)
	if got := update(false, PartNpm); got != "" {
		t.Errorf("the second time:\n%s", got)
	}
	before := readFile(t, a.lockPath())
	version = "2.0.0"
	if got := update(true); !strings.Contains(got, "  ~ version 1.0.0 -> 2.0.0\n") || readFile(t, a.lockPath()) != before {
		t.Errorf("a dry run, with the lock before:\n%s\nchanges:\n%s", before, got)
	}
	if update(false); readFile(t, a.lockPath()) == before {
		t.Error("nothing was written")
	}
	version = "evil"
	before = readFile(t, a.lockPath())
	_, err := a.Update(t.Context(), UpdateRequest{})
	if err == nil || err.Error() != `asking for the newest claude for linux/amd64: asking for npm package claude: "evil" is not a version` || readFile(t, a.lockPath()) != before {
		t.Errorf("err = %v, with the lock\n%s", err, readFile(t, a.lockPath()))
	}
}

// pipelock is pinned under the hash that the operator names, and then needs naming no more.
func TestUpdatePinsPipelock(t *testing.T) {
	a := newApp(t)
	a.source = t.TempDir()
	writeFile(t, filepath.Join(a.source, "images", agentRecipe, "image.toml"), oneTool)
	path := filepath.Join(a.dirs.home, "pipelock")
	writeFile(t, path, "#!/bin/sh\necho pipelock version 2.3.0\n")
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := hashFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unnamed := a.config.Environ
	a.config.Environ = append(unnamed, "PIPELOCK_BIN="+path)
	if _, err := a.Update(t.Context(), UpdateRequest{Parts: []string{PartPipelock}}); err == nil {
		t.Error("what nobody vouches for is pinned")
	}
	a.config.Environ = append(a.config.Environ, "PIPELOCK_SHA256="+file.SHA256)
	done, err := a.Update(t.Context(), UpdateRequest{Parts: []string{PartPipelock}})
	if want := "pipelock\n  + version 2.3.0\n  + sha256 " + file.SHA256 + "\n"; err != nil || lockfile.Text(done.Changes) != want {
		t.Errorf("changes:\n%s%v\nwant:\n%s", lockfile.Text(done.Changes), err, want)
	}
	a.config.Environ = append(unnamed, "PIPELOCK_BIN="+path)
	if files, err := a.supplied(); err != nil || files[enginePipelock].SHA256 != file.SHA256 {
		t.Errorf("with the lock: %v, %v", files, err)
	}

	// Another program is neither the one that the lock pins, nor one that a variable alone admits.
	writeFile(t, path, "#!/bin/sh\necho evil\n")
	other, err := hashFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.supplied()
	if want := path + " has the sha256 " + other.SHA256 + `, and bottle.lock says "` + file.SHA256 + `"`; err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
	a.config.Environ = append(a.config.Environ, "PIPELOCK_SHA256="+other.SHA256)
	_, err = a.supplied()
	if want := path + " has the sha256 " + other.SHA256 + ", and bottle.lock pins " + file.SHA256; err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
	a.config.Environ = unnamed
	if done, err := a.Update(t.Context(), UpdateRequest{Parts: []string{PartPipelock}}); err != nil || len(done.Changes) > 0 {
		t.Errorf("a machine without pipelock takes the pin away: %v, %v", done.Changes, err)
	}
}

// The base has to be the locked one where that is asked for; else it is only mentioned, and
// only when an image is made of it.
func TestLockedBase(t *testing.T) {
	base, other := "layout:"+baseLayout(t), "sha256:"+strings.Repeat("0", 64)
	recipe := "base = \"" + base + "\"\n[[directory]]\npath = \"/x\"\nmode = \"0755\"\n"
	unlocked := newApp(t)
	unlocked.source = t.TempDir()
	writeFile(t, filepath.Join(unlocked.source, "images", agentRecipe, "image.toml"), recipe)
	chosen, err := unlocked.agentJob(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	digest := chosen.Chosen().Digest
	for _, test := range []struct {
		name, locked, pinned string
		refused, said        string // %s is the base
	}{
		{name: "the same", locked: "1", pinned: digest},
		{name: "no lock"},
		{name: "no lock, and it is asked for", locked: "1", refused: "bottle.lock pins no base %s for " + guestPlatform().String()},
		{name: "another", locked: "yes", pinned: other, refused: "the base %s is not the one of bottle.lock: " + other + " -> " + digest},
		{
			name: "another, and nobody asked", locked: "0", pinned: other,
			said: "info base the base is not the one of bottle.lock: " + other + " -> " + digest + " (go tool mage update)",
		},
		{
			name: "damaged", pinned: "sha256:0",
			refused: "reading bottle.lock: base " + guestPlatform().String() + ` %s: digest: "sha256:0" does not look like one`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newApp(t, "BOTTLE_LOCKED="+test.locked)
			var said []string
			a.events = event.SinkFunc(func(_ context.Context, e event.Event) {
				if e.Kind == event.Info {
					said = append(said, fmt.Sprintf("%s %s %s", e.Kind, e.Step, e.Text))
				}
			})
			a.source = t.TempDir()
			writeFile(t, filepath.Join(a.source, "images", agentRecipe, "image.toml"), recipe)
			if test.pinned != "" {
				writeFile(t, a.lockPath(), fmt.Sprintf("version = 1\n[[base]]\nplatform = %q\nfrom = %q\ndigest = %q\n", guestPlatform().String(), base, test.pinned))
			}
			job, err := a.agentJob(t.Context(), nil)
			if err == nil {
				_, err = a.image(agentRecipe, job).Build(t.Context())
			}
			if want := strings.ReplaceAll(test.refused, "%s", base); err == nil && want != "" || err != nil && err.Error() != want {
				t.Errorf("err = %v, want %q", err, want)
			}
			if got := strings.Join(said, "\n"); got != test.said {
				t.Errorf("said %q, want %q", got, test.said)
			}
		})
	}
}

// baseLayout is a base of one file, on the disk.
func baseLayout(t *testing.T) string {
	t.Helper()
	platform := guestPlatform()
	made, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: platform.OS, Architecture: platform.Architecture})
	if err == nil {
		made, err = mutate.AppendLayers(made, fakeimage.Layer(t, fakeimage.File{Header: tar.Header{Typeflag: tar.TypeReg, Name: "etc/marker", Mode: 0o644}}))
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendImage(made, layout.WithPlatform(platform))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDifferenceOfBases(t *testing.T) {
	t.Parallel()
	was := lockfile.Base{Packages: []string{"a=1", "b=1", "c=1", "d=1", "e=1"}}
	now := lockfile.Base{Packages: []string{"a=2", "b=2", "c=2", "d=2", "f=1"}}
	if got, want := difference(was, now), "a 1 -> 2, b 1 -> 2, c 1 -> 2, d 1 -> 2, and 2 more"; got != want {
		t.Errorf("difference() = %q, want %q", got, want)
	}
}

// A released bottle has no checkout; its tools are those that it was released with.
func TestAReleaseHasItsLock(t *testing.T) {
	text, err := os.ReadFile("../../bottle.lock")
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(t)
	a.source = ""
	if lock, err := a.readLock(); err != nil || len(lock.Npm) != 0 {
		t.Errorf("without a release: %+v, %v", lock.Npm, err)
	}
	a.config.Prebuilt = fstest.MapFS{"bottle.lock": {Data: text}}
	lock, err := a.readLock()
	if err != nil || len(lock.Npm) == 0 || lock.Npm[0].Integrity == "" {
		t.Errorf("%+v, %v", lock.Npm, err)
	}
}
