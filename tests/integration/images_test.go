//go:build integration

package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle.internal/tests/integration/rig"
)

// imageReport is a line of `bottle images --format=json`.
type imageReport struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Cached bool   `json:"cached"`
	Path   string `json:"path"`
	Pushed int64  `json:"pushed_bytes"`
}

// emptyPacks is a world whose cache has the user's base, layers and programs, and no packs.
func emptyPacks(t *testing.T) *world {
	t.Helper()
	w := *setup(t)
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(rig.Dir("XDG_CACHE_HOME", home, ".cache"), "bottle")
	cache := filepath.Join(t.TempDir(), "bottle")
	if err := os.Mkdir(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(users)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		switch entry.Name() {
		case "packs", "recipes", "registry":
			continue
		}
		if err := os.Symlink(filepath.Join(users, entry.Name()), filepath.Join(cache, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	rigged := *w.Rig
	w.Rig = &rigged
	goCache, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	// Go's own cache is below the same variable: our programs are not what is built here.
	w.Env = rig.Set(w.Env, "XDG_CACHE_HOME="+filepath.Dir(cache), "GOCACHE="+strings.TrimSpace(string(goCache)))
	return &w
}

func (w *world) images(t *testing.T) (map[string]imageReport, rig.Result) {
	t.Helper()
	result := w.good(t, "images", "--format=json")
	return reports(t, result.Stdout), result
}

func reports(t *testing.T, text string) map[string]imageReport {
	t.Helper()
	var list []imageReport
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	byName := map[string]imageReport{}
	for _, r := range list {
		byName[r.Name] = r
	}
	return byName
}

// Two at once build once; the next does nothing; a damaged artifact is made again and
// that is said; the digest is always the same.
func TestImages(t *testing.T) {
	theBottle(t) // the base and the layers are there, whatever the user had
	w := emptyPacks(t)
	digest := testTwoAtOnce(t, w)

	unchanged, result := w.images(t)
	if got := unchanged["agent"]; !got.Cached || got.Pushed != 0 || got.Digest != digest {
		t.Errorf("nothing changed: %+v", got)
	}
	if strings.Contains(result.Stderr, "push: ") || strings.Contains(result.Stderr, "verify: ") {
		t.Errorf("nothing changed, yet: %s", result.Stderr)
	}
	for name, damage := range map[string]func(*os.File, int64) error{
		"a changed byte": func(f *os.File, size int64) error { _, err := f.WriteAt([]byte{0x5a, 0xa5}, size/2); return err },
		"cut short":      func(f *os.File, size int64) error { return f.Truncate(size - 1) },
		"a lost footer":  func(f *os.File, size int64) error { _, err := f.WriteAt(make([]byte, 64), size-64); return err },
	} {
		t.Run(name, func(t *testing.T) {
			file, err := os.OpenFile(unchanged["agent"].Path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			info, err := file.Stat()
			if err == nil {
				err = damage(file, info.Size())
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = file.Close()
			got, result := w.images(t)
			if again := got["agent"]; again.Cached || again.Digest != digest || again.Pushed != 0 {
				t.Errorf("%+v: %s", again, result)
			}
			if !strings.Contains(result.Stderr, "pack: warning: agent: not using the cached ") || !strings.Contains(result.Stderr, "pack: done, agent, ") {
				t.Errorf("it was not said: %s", result.Stderr)
			}
		})
	}
}

func testTwoAtOnce(t *testing.T, w *world) (digest string) {
	t.Helper()
	var both [2]*process
	for i := range both {
		var err error
		if both[i], err = w.start(nil, "images", "--format=json"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(both[i].finish)
	}
	var packed, cached int
	for _, p := range both {
		if code := p.end(t, 3*time.Minute); code != 0 {
			t.Fatalf("exit %d: %s", code, p)
		}
		packed += strings.Count(p.stderr.String(), "pack: done")
		agent := reports(t, p.stdout.String())["agent"]
		if agent.Cached {
			cached++
		}
		if digest != "" && agent.Digest != digest {
			t.Errorf("two digests: %s and %s", digest, agent.Digest)
		}
		digest = agent.Digest
	}
	t.Logf("the one: %s\nthe other: %s", both[0].stderr.String(), both[1].stderr.String())
	if packed != 1 || cached != 1 {
		t.Errorf("packed %d times, want once, and %d found it there, want one:\n%s\n%s", packed, cached, both[0], both[1])
	}
	return digest
}
