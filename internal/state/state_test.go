package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/state"
)

func open(t *testing.T) *state.Root {
	t.Helper()
	root, err := state.OpenRoot(filepath.Join(t.TempDir(), "bottle"))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestLifeOfAnInstance(t *testing.T) {
	t.Parallel()
	root := open(t)
	instance, err := root.Create("demo-aaaaa")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.Create("demo-aaaaa"); !errors.Is(err, state.ErrExists) {
		t.Errorf("a second Create = %v, want ErrExists", err)
	}
	status := state.Status{Identity: "demo-aaaaa", Agent: "demo", Phase: state.Running, PID: 1}
	if err := instance.WriteStatus(status); err != nil {
		t.Fatal(err)
	}

	other, err := root.Open("demo-aaaaa")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.Status(); err != nil || got.Phase != state.Running {
		t.Errorf("Status() = %+v, %v", got, err)
	}
	if !other.Owned() {
		t.Error("the lock is held, yet Owned() is false")
	}
	if err := other.Lock(); !errors.Is(err, state.ErrLocked) {
		t.Errorf("Lock() = %v, want ErrLocked", err)
	}
	instance.Unlock()
	if other.Owned() {
		t.Error("the owner is gone, yet Owned() is true")
	}

	if err := instance.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Open("demo-aaaaa"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("Open after Remove = %v, want ErrNotFound", err)
	}
}

func TestListGoesOnPastBrokenOnes(t *testing.T) {
	t.Parallel()
	root := open(t)
	for _, id := range []string{"demo-bbbbb", "demo-aaaaa"} {
		if err := os.Mkdir(filepath.Join(root.Dir(), id), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root.Dir(), "demo-aaaaa", state.StatusFile), []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root.Dir(), "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(root.Dir(), "demo-ccccc")); err != nil {
		t.Fatal(err)
	}
	instances, problems := root.List()
	if len(instances) != 2 || instances[0].ID != "demo-aaaaa" || len(problems) != 2 {
		t.Fatalf("List() = %v, %v", instances, problems)
	}
	if status, err := instances[0].Status(); err == nil || status.Agent != "demo" {
		t.Errorf("Status() of a half-written file = %+v, %v", status, err)
	}
}

func TestRemoveFollowsNoSymlink(t *testing.T) {
	t.Parallel()
	root := open(t)
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	instance, err := root.Create("demo-aaaaa")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(precious), instance.Path("link")); err != nil {
		t.Fatal(err)
	}
	status := state.Status{Identity: "demo-aaaaa", SocketDir: filepath.Dir(precious)}
	if err := instance.WriteStatus(status); err != nil {
		t.Fatal(err)
	}
	err = instance.Remove()
	if err == nil || !strings.Contains(err.Error(), "is not ours: it is left alone") {
		t.Errorf("Remove() = %v, want a complaint about the socket directory", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("a file outside was removed: %v", err)
	}
	if _, err := root.Open("demo-aaaaa"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("the instance is still there: %v", err)
	}
}

func TestRefusesADirectoryThatOthersCanExchange(t *testing.T) {
	t.Parallel()
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := state.OpenRoot(filepath.Join(open, "bottle"))
	if err == nil || !strings.HasSuffix(err.Error(), "is writable by others, who could exchange what is below") {
		t.Errorf("OpenRoot = %v", err)
	}
}

// farAway is a bottle whose directory has no room for the name of a socket.
func farAway(t *testing.T) (*state.Root, *state.Instance) {
	t.Helper()
	root, err := state.OpenRoot(filepath.Join(t.TempDir(), strings.Repeat("long-", 20), "bottle"))
	if err != nil {
		t.Fatal(err)
	}
	instance, err := root.Create("demo-aaaaa")
	if err != nil {
		t.Fatal(err)
	}
	return root, instance
}

func TestLongPathsGetAShortSocketDirectory(t *testing.T) {
	t.Parallel()
	_, instance := farAway(t)
	dir, outside, err := instance.SocketDir()
	if err != nil || !outside || len(dir) > 90 {
		t.Fatalf("SocketDir() = %q, %v, %v", dir, outside, err)
	}
	if err := instance.WriteStatus(state.Status{Identity: "demo-aaaaa", SocketDir: dir}); err != nil {
		t.Fatal(err)
	}
	if err := instance.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket directory is left: %v", err)
	}
}

func TestWriteFileStaysInside(t *testing.T) {
	t.Parallel()
	instance, err := open(t).Create("demo-aaaaa")
	if err != nil {
		t.Fatal(err)
	}
	if err := instance.WriteFile("../x", nil); err == nil {
		t.Error("a name outside the instance was accepted")
	}
}

func TestARemovalThatWasCutShortIsFinished(t *testing.T) {
	t.Parallel()
	root := open(t)
	for _, name := range []string{".gone-demo-aaaaa", ".gone-not an identity", ".log"} {
		if err := os.MkdirAll(filepath.Join(root.Dir(), name, "sockets"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := state.OpenRoot(root.Dir()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{".gone-demo-aaaaa": false, ".gone-not an identity": true, ".log": true} {
		if _, err := os.Stat(filepath.Join(root.Dir(), name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
}

// Somebody who looks at a bottle while its owner removes it must not bring it back.
func TestRemoveWhileOthersLock(t *testing.T) {
	t.Parallel()
	root := open(t)
	for range 20 {
		instance, err := root.Create("demo-aaaaa")
		if err != nil {
			t.Fatal(err)
		}
		done, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				select {
				case <-done:
					return
				default:
				}
				if other, err := root.Open("demo-aaaaa"); err == nil && other.Lock() == nil {
					other.Unlock()
				}
			}
		}()
		if err := instance.Remove(); err != nil {
			t.Error(err)
		}
		close(done)
		<-ended
		if _, err := root.Open("demo-aaaaa"); !errors.Is(err, state.ErrNotFound) {
			t.Fatalf("the bottle is back: %v", err)
		}
	}
}
