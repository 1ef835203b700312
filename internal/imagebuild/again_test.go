package imagebuild_test

import (
	"os"
	"path/filepath"
	"testing"

	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/imagebuild"
)

// Another builder makes the same image from nothing, or from the bases alone, and leaves what
// the first one has as it is.
func TestAgain(t *testing.T) {
	t.Parallel()
	m := &mirror{version: "1"}
	settings := config(t)
	m.use(&settings)
	settings.Base.Choice = "debian"
	text := "base = \"debian\"\n" + withProgram[len("base = \"scratch\"\n"):] + debianSection
	loaded, selection := recipe(t, text), imagebuild.Selection{Platform: linux("amd64")}
	first := build(t, settings, loaded, selection)
	lock, err := os.ReadFile(filepath.Join(settings.CacheDir, "base.lock"))
	if err != nil {
		t.Fatal(err)
	}
	again := func(bases bool) (built, error) {
		t.Helper()
		m.ran = nil
		dir := t.TempDir()
		second, err := imagebuild.New(settings).Again(imagebuild.Again{
			CacheDir: dir, Programs: &gobuild.Builder{Root: module(t), CacheDir: dir, Env: os.Environ()}, Bases: bases,
		})
		if err != nil {
			t.Fatal(err)
		}
		job, err := second.Plan(t.Context(), loaded, selection)
		if err != nil {
			return built{}, err
		}
		image, err := job.Build(t.Context())
		if err != nil {
			return built{}, err
		}
		digest, err := image.Digest()
		return built{image: image, key: job.Key(), digest: digest.String()}, err
	}
	for _, bases := range []bool{false, true} {
		got, err := again(bases)
		if err != nil || got.digest != first.digest || got.key != first.key {
			t.Errorf("with the bases %v: %s, %v; want %s", bases, got.digest, err, first.digest)
		}
		if made := m.ran != nil; made == bases {
			t.Errorf("with the bases %v this was run: %v", bases, m.ran)
		}
	}
	m.version = "2"
	if _, err := again(false); !imagebuild.Moved(err) {
		t.Errorf("the mirror has moved on: %v", err)
	}
	if _, err := again(true); err != nil {
		t.Errorf("the base is there: %v", err)
	}
	if now, err := os.ReadFile(filepath.Join(settings.CacheDir, "base.lock")); err != nil || string(now) != string(lock) {
		t.Errorf("base.lock has changed: %s, %v", now, err)
	}
}
