package imagebuild_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/imagebuild"
)

// large is a recipe on the disk with a file that is worth remembering, an hour old.
func large(t *testing.T) (recipe *imagebuild.Recipe, file string) {
	t.Helper()
	root := t.TempDir()
	file = filepath.Join(root, "tiny/files/etc/large")
	err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, bytes.Repeat([]byte("large"), 2<<20), 0o600),
		os.MkdirAll(filepath.Join(root, "tiny/files/usr/bin"), 0o755), os.WriteFile(filepath.Join(root, "tiny/files/usr/bin/greet"), nil, 0o600),
		os.WriteFile(filepath.Join(root, "tiny/image.toml"), []byte(tiny), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	recipe, err = imagebuild.LoadRecipe(os.DirFS(root), "tiny")
	if err != nil {
		t.Fatal(err)
	}
	return recipe, file
}

func keyOf(t *testing.T, settings imagebuild.Config, recipe *imagebuild.Recipe) string {
	t.Helper()
	job, err := imagebuild.New(settings).Plan(t.Context(), recipe, imagebuild.Selection{Platform: linux("amd64")})
	if err != nil {
		t.Fatal(err)
	}
	return job.Key()
}

// A warm start does not read large files again, and a change that keeps size and time is
// seen all the same.
func TestLargeFilesAreRememberedByTheirStamps(t *testing.T) {
	t.Parallel()
	settings := config(t)
	loaded, file := large(t)
	time.Sleep(150 * time.Millisecond) // files of this very moment are not trusted
	first := keyOf(t, settings, loaded)
	records, err := filepath.Glob(filepath.Join(settings.CacheDir, "files", "*"))
	if err != nil || len(records) != 1 {
		t.Fatalf("records: %v, %v", records, err)
	}
	if again := keyOf(t, settings, loaded); again != first {
		t.Error("the same files have another key")
	}
	known, err := os.ReadFile(records[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(records[0], []byte(strings.Repeat("0", 64)), 0o600); err != nil {
		t.Fatal(err)
	}
	if keyOf(t, settings, loaded) == first {
		t.Error("the record was not used: the files were read again")
	}
	if err := os.WriteFile(records[0], known, 0o600); err != nil {
		t.Fatal(err)
	}

	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(file, bytes.Repeat([]byte("LARGE"), 2<<20), 0o600), os.Chtimes(file, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	if keyOf(t, settings, loaded) == first {
		t.Error("a changed file was not seen")
	}
}

// The key promises a content: files that become others before the layer is made end the build.
func TestFilesThatChangeMeanwhile(t *testing.T) {
	t.Parallel()
	settings := config(t)
	loaded, file := large(t)
	job, err := imagebuild.New(settings).Plan(t.Context(), loaded, imagebuild.Selection{Platform: linux("amd64")})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Repeat([]byte("LARGE"), 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := job.Build(t.Context()); err == nil || !strings.Contains(err.Error(), "the files changed while the image was made") {
		t.Errorf("err = %v", err)
	}
}
