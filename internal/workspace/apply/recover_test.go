package apply_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/apply"
)

// steps runs an apply and returns the names of its effects.
func steps(t *testing.T) []string {
	t.Helper()
	var names []string
	dir := fresh(t)
	r := request(dir, before(), after())
	r.Step = func(name string) error { names = append(names, name); return nil }
	if err := apply.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return names
}

// died ends an apply as kill -9 would: nothing of it runs any more.
type died struct{}

func killedAt(t *testing.T, count int, do func(step func(string) error)) (ended bool) {
	t.Helper()
	defer func() {
		if got := recover(); got != nil {
			if _, ok := got.(died); !ok {
				panic(got)
			}
		}
	}()
	do(func(string) error {
		if count == 0 {
			panic(died{})
		}
		count--
		return nil
	})
	return true
}

// Whenever the process dies, the next run finds the directory as before or as after, and
// leaves nothing else.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	all := steps(t)
	if len(all) < 30 {
		t.Fatalf("only %d steps: %q", len(all), all)
	}
	completed := 0
	for i := range all {
		dir := fresh(t)
		r := request(dir, before(), after())
		if killedAt(t, i, func(step func(string) error) {
			r.Step = step
			_ = apply.Apply(t.Context(), r)
		}) {
			t.Fatalf("step %d was not reached", i)
		}
		outcome, err := apply.Recover(dir)
		if err != nil {
			t.Fatalf("killed at step %d: %v", i, err)
		}
		want := before()
		if outcome == apply.Completed {
			want = after()
			completed++
		}
		if diff := cmp.Diff(want, read(t, dir)); diff != "" {
			t.Errorf("killed at step %d, %s (-want +got)\n%s", i, outcome, diff)
		}
		if again, err := apply.Recover(dir); again != apply.Nothing || err != nil {
			t.Errorf("a second recovery = %q, %v", again, err)
		}
	}
	if completed != 1 { // after the journal's end
		t.Errorf("%d of %d were completed", completed, len(all))
	}
}

// An error at any step, such as a full disk, leaves the directory as it was.
func TestErrorAtEveryStep(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left")
	all := steps(t)
	for i := range all[:len(all)-1] { // at the last one everything is done
		dir, count := fresh(t), i
		r := request(dir, before(), after())
		r.Step = func(string) error {
			if count--; count == -1 {
				return full
			}
			return nil
		}
		if err := apply.Apply(t.Context(), r); !errors.Is(err, full) {
			t.Errorf("step %d: Apply = %v", i, err)
		}
		if diff := cmp.Diff(before(), read(t, dir)); diff != "" {
			t.Errorf("step %d (-want +got)\n%s", i, diff)
		}
	}
}

// Where the place was taken, the old file is kept and named.
func TestRollbackOverwritesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, tree{"f": "old\n"})
	r := request(dir, tree{"f": "old\n"}, tree{"f": "new\n"})
	r.Step = func(name string) error {
		if name == "put in place f" {
			return os.WriteFile(filepath.Join(dir, "f"), []byte("host\n"), 0o644)
		}
		return nil
	}
	err := apply.Apply(t.Context(), r)
	if kept := (*apply.KeptError)(nil); !errors.As(err, &kept) || len(kept.Paths) != 1 {
		t.Fatalf("Apply = %v", err)
	}
	want := tree{"f": "host\n"}
	found := read(t, dir)
	if found["f"] != want["f"] || found[workspace.ApplyDir+"/old/0"] != "old\n" {
		t.Errorf("%q", found)
	}
	if err := os.Remove(filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	if outcome, err := apply.Recover(dir); outcome != apply.RolledBack || err != nil {
		t.Errorf("Recover = %q, %v", outcome, err)
	}
	if diff := cmp.Diff(tree{"f": "old\n"}, read(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// A rollback that is killed after it gave a file its name back is ended by the next one.
func TestRollbackIsKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, tree{"f": "old\n"})
	killedAt(t, -1, func(func(string) error) {
		r := request(dir, tree{"f": "old\n"}, tree{"f": "new\n"})
		r.Step = func(name string) error {
			if name == "put in place f" {
				panic(died{})
			}
			return nil
		}
		_ = apply.Apply(t.Context(), r)
	})
	if err := os.Link(filepath.Join(dir, workspace.ApplyDir, "old/0"), filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	if outcome, err := apply.Recover(dir); outcome != apply.RolledBack || err != nil {
		t.Errorf("Recover = %q, %v", outcome, err)
	}
	if diff := cmp.Diff(tree{"f": "old\n"}, read(t, dir)); diff != "" {
		t.Error(diff)
	}
}

// A journal that came with a repository is not believed.
func TestForeignJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, tree{
		workspace.ApplyDir + "/journal": `{"ops":[{"path":".git/hooks/x","before":{"kind":"file"},"after":{}}]}`,
		workspace.ApplyDir + "/old/0":   "x y", workspace.ApplyDir + "/new": "dir", ".git/config": "[core]\n",
	})
	_, err := apply.Recover(dir)
	if foreign := (*apply.ForeignError)(nil); !errors.As(err, &foreign) {
		t.Errorf("Recover = %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, workspace.ApplyDir), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err = apply.Recover(dir); err == nil || !strings.Contains(err.Error(), "refused .git/hooks/x: git's own directory") {
		t.Errorf("Recover = %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, ".git/hooks/x")); err == nil {
		t.Error("it was moved to git's hooks")
	}
}
