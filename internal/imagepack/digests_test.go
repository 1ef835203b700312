package imagepack_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/imagepack"
)

func hexOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// A file is read once; whatever happens to it after that, the answer is about its bytes.
func TestDigestsAreOfTheBytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	digests := imagepack.Digests{Path: filepath.Join(dir, "memory")}
	path := filepath.Join(dir, "pack")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	of := func(want string) {
		t.Helper()
		if got, err := digests.Of(t.Context(), path); err != nil || got != hexOf(want) {
			t.Errorf("Of() = %s, %v; want that of %q", got, err, want)
		}
	}
	write("one")
	of("one")
	of("one")

	// The same size and the same times, which anybody can set.
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	write("two")
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	of("two")

	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("six"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	of("six")

	for _, damaged := range []string{"", "{", `{"` + path + `":{"sha256":"` + hexOf("x") + `"}}`, "null"} {
		if err := os.WriteFile(digests.Path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		of("six")
	}

	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if got, err := digests.Of(t.Context(), path); err == nil {
		t.Errorf("a file that others may write has the digest %s", got)
	}
}

// The second answer does not read the file: it stays the one of the memory, as long as the
// stamp is the same.
func TestDigestsReadOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	digests := imagepack.Digests{Path: filepath.Join(dir, "memory")}
	path := filepath.Join(dir, "pack")
	if err := os.WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := digests.Of(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(digests.Path)
	if err != nil {
		t.Fatal(err)
	}
	marked := strings.Replace(string(text), hexOf("one"), hexOf("remembered"), 1)
	if err := os.WriteFile(digests.Path, []byte(marked), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := digests.Of(t.Context(), path); err != nil || got != hexOf("remembered") {
		t.Errorf("Of() = %s, %v: it was read again", got, err)
	}
}
