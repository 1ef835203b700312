package state_test

import (
	"os"
	"path/filepath"
	"testing"

	"bottle.internal/internal/state"
)

// What a guest wrote cannot keep its bottle from being removed, and leads nowhere else.
func TestRemoveTreeThatAGuestHasClosed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closed := filepath.Join(dir, "bottle", "agent-rootfs", "closed")
	outside := filepath.Join(dir, "outside")
	for _, path := range []string{filepath.Join(closed, "deep"), outside} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(closed, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(closed, "deep"), closed, outside} {
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.RemoveAll("bottle"); err == nil && os.Geteuid() != 0 { // to root nothing is closed
		t.Fatal("nothing was closed")
	}
	if err := state.RemoveTree(root, "bottle"); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(outside); err != nil || info.Mode().Perm() != 0 {
		t.Errorf("outside: %v, %v", info, err)
	}
	_ = os.Chmod(outside, 0o700) // so that the test's directory can go
}
