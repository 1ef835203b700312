package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
)

func TestWish(t *testing.T) {
	t.Parallel()
	instance, err := open(t).Create("demo-aaaaa")
	if err != nil {
		t.Fatal(err)
	}
	for _, wish := range []state.Wish{state.WishKeep, state.WishRemove, state.NoWish, state.NoWish} {
		if err := instance.SetWish(wish); err != nil || instance.Wish() != wish {
			t.Errorf("SetWish(%q) = %v, then it is %q", wish, err, instance.Wish())
		}
	}
	if err := instance.WriteFile(state.WishFile, []byte("burn it")); err != nil || instance.Wish() != state.NoWish {
		t.Errorf("what nobody knows is a wish: %q, %v", instance.Wish(), err)
	}
}

// A reboot empties the temporary directory; a machine finds its sockets again all the same.
func TestSocketDirectoryIsMadeAgain(t *testing.T) {
	t.Parallel()
	root, instance := farAway(t)
	dir, _, err := instance.SocketDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if strays := root.StraySocketDirs(); strays[dir] != "demo-aaaaa" {
		t.Errorf("strays: %v, want the one that no status names", strays)
	}
	if err := instance.WriteStatus(state.Status{Identity: "demo-aaaaa", SocketDir: dir}); err != nil {
		t.Fatal(err)
	}
	if strays := root.StraySocketDirs(); len(strays) > 0 {
		t.Errorf("strays: %v", strays)
	}
	other, err := state.OpenRoot(filepath.Join(t.TempDir(), "bottle"))
	if err != nil {
		t.Fatal(err)
	}
	if strays := other.StraySocketDirs(); strays[dir] != "" {
		t.Errorf("another root takes it for its own: %v", strays)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := instance.RestoreSocketDir(dir); err != nil {
		t.Error(err)
	}
	if err := instance.RestoreSocketDir(dir); err != nil { // of a bottle that was not rebooted
		t.Error(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	if err := instance.RestoreSocketDir(dir); err == nil || !strings.HasSuffix(err.Error(), "is no directory") {
		t.Errorf("RestoreSocketDir of somebody's symlink = %v", err)
	}
	if err := instance.RestoreSocketDir("/tmp/of-somebody"); err == nil || !strings.HasSuffix(err.Error(), "is not ours: it is left alone") {
		t.Errorf("RestoreSocketDir = %v", err)
	}
}

// A killed maker leaves a directory without a name; a living one must not lose it.
func TestHalfMadeInstances(t *testing.T) {
	t.Parallel()
	root := open(t)
	instance, err := root.Create("demo-aaaaa")
	if err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(root.Dir(), ".new-1")
	if err := os.Rename(instance.Dir(), made); err != nil { // its maker lives
		t.Fatal(err)
	}
	young, old := filepath.Join(root.Dir(), ".new-2"), filepath.Join(root.Dir(), ".new-3")
	for _, dir := range []string{young, old} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	hourAgo := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old, hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
	sweep := func() {
		if _, err := state.OpenRoot(root.Dir()); err != nil {
			t.Fatal(err)
		}
	}
	there := func(dir string) bool { _, err := os.Lstat(dir); return err == nil }
	if sweep(); !there(made) || !there(young) || there(old) {
		t.Errorf("after a sweep: living %v, young %v, abandoned %v", there(made), there(young), there(old))
	}
	instance.Unlock() // the maker is gone
	if sweep(); there(made) || !there(young) {
		t.Errorf("after the maker's end: %v", there(made))
	}
}

func TestStrayFiles(t *testing.T) {
	t.Parallel()
	root := open(t)
	instance, err := root.Create("demo-aaaaa")
	if err != nil {
		t.Fatal(err)
	}
	stray := instance.Path(".tmp-123")
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if strays := root.StrayFiles(); len(strays) > 0 {
		t.Errorf("its owner lives and writes it: %v", strays)
	}
	instance.Unlock()
	if strays := root.StrayFiles(); len(strays) != 1 || strays[stray] != names.Identity("demo-aaaaa") {
		t.Errorf("strays: %v", strays)
	}
	for _, path := range []string{instance.Path(state.StatusFile), "/etc/.tmp-x", filepath.Join(root.Dir(), "../.tmp-x")} {
		if err := root.RemoveStrayFile(path); err == nil {
			t.Errorf("%s may be removed", path)
		}
	}
	if err := root.RemoveStrayFile(stray); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(stray); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
