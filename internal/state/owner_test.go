package state_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/state"
	"bottle.internal/tests/need"
)

// A directory of ours is closed to others, even if it was open before, and it is no link.
func TestDirectoryIsPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "bottle")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := state.OpenRoot(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := state.OpenRoot(link); err == nil || !strings.HasSuffix(err.Error(), "link is no directory") {
		t.Errorf("a link: %v", err)
	}
}

// Nor is it another user's, or below what another user can exchange.
func TestDirectoryOfAnotherUser(t *testing.T) {
	t.Parallel()
	const nobody = 65534
	theirs := filepath.Join(t.TempDir(), "theirs")
	if err := os.MkdirAll(filepath.Join(theirs, "ours"), 0o700); err != nil {
		t.Fatal(err)
	}
	need.Need(t, "root", os.Chown(theirs, nobody, nobody))
	for dir, want := range map[string]string{
		theirs:                        "theirs belongs to uid 65534, not to us (uid 0)",
		filepath.Join(theirs, "ours"): "theirs belongs to uid 65534, who could exchange what is below",
	} {
		if _, err := state.OpenRoot(dir); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("OpenRoot = %v, want %s", err, want)
		}
	}
}
