package apply_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/apply"
)

// Some hundred flushes of a whole file system take a busy disk minutes.
func TestMain(m *testing.M) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		_ = os.Setenv("TMPDIR", "/dev/shm")
	}
	m.Run()
}

// tree is a directory as text: what a file holds, "x " first if it is executable, or
// "-> " and what a link leads to, or "dir" for an empty directory.
type tree map[string]string

func write(t *testing.T, dir string, want tree) {
	t.Helper()
	for name, text := range want {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(text, "-> "); {
		case link:
			err = os.Symlink(target, path)
		case text == "dir":
			err = os.MkdirAll(path, 0o755)
		case strings.HasPrefix(text, "x "):
			err = os.WriteFile(path, []byte(text), 0o755)
		default:
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, dir string) tree {
	t.Helper()
	found := tree{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			found[name] = "-> " + target
			return err
		case entry.IsDir():
			entries, err := os.ReadDir(path)
			if len(entries) == 0 {
				found[name] = "dir"
			}
			return err
		}
		text, err := os.ReadFile(path)
		info, _ := entry.Info()
		if exec := workspace.IsExec(info.Mode()); exec != strings.HasPrefix(string(text), "x ") {
			t.Errorf("%s: executable %v, text %q", name, exec, text)
		}
		found[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func state(text string) workspace.State {
	if target, ok := strings.CutPrefix(text, "-> "); ok {
		return workspace.State{Kind: workspace.Link, Target: workspace.Name(target)}
	}
	if text == "" {
		return workspace.State{}
	}
	sum := sha256.Sum256([]byte(text))
	return workspace.State{Kind: workspace.File, Exec: strings.HasPrefix(text, "x "), Size: int64(len(text)), Sum: hex.EncodeToString(sum[:])}
}

// request makes the ops that lead from one tree to another.
func request(dir string, before, after tree) apply.Request {
	blobs := fstest.MapFS{}
	var ops []apply.Op
	for name, text := range after {
		if before[name] != text && text != "dir" {
			blobs[state(text).Sum] = &fstest.MapFile{Data: []byte(text)}
			ops = append(ops, apply.Op{Path: workspace.Name(name), Before: state(before[name]), After: state(text)})
		}
	}
	for name, text := range before {
		if _, ok := after[name]; !ok && text != "dir" {
			ops = append(ops, apply.Op{Path: workspace.Name(name), Before: state(text)})
		}
	}
	return apply.Request{Dir: dir, Ops: ops, Open: func(sum string) (fs.File, error) { return blobs.Open(sum) }}
}

func before() tree {
	return tree{
		"same": "same\n", "changed": "old\n", "gone": "gone\n", "made executable": "plain\n", "dir/kept": "kept\n", "dir/gone": "gone\n",
		"emptied/a/b": "b\n", "becomes a directory": "file\n", "becomes a file/x": "x\n", "becomes a file/y/z": "z\n", "link": "-> same",
		"empty": "dir", "file to link": "f\n", "new\nline": "a\n",
	}
}

func after() tree {
	return tree{
		"same": "same\n", "changed": "new\n", "made executable": "x now\n", "dir/kept": "kept\n",
		"becomes a directory/x": "x is\n", "becomes a file": "y\n", "link": "-> dir/kept", "empty/new": "new\n", "empty/deep/er": "er\n",
		"a/b/c/d": "d\n", "file to link": "-> same", "bad \xff utf": "bytes\n", "new link": "-> a/b",
	}
}

func fresh(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, before())
	return dir
}

func TestApply(t *testing.T) {
	t.Parallel()
	dir := fresh(t)
	if err := apply.Apply(t.Context(), request(dir, before(), after())); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(after(), read(t, dir)); diff != "" {
		t.Errorf("after (-want +got)\n%s", diff)
	}
}

// A replaced file keeps its mode but for the executable bit.
func TestModes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		mode fs.FileMode
		want fs.FileMode
	}{
		{"x y", 0o640, 0o750},
		{"y", 0o750, 0o640},
		{"x y", 0o600, 0o700},
		{"y", fs.ModeSetuid | 0o755, 0o644},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		if err := errors.Join(os.WriteFile(path, []byte("old"), 0o600), os.Chmod(path, test.mode)); err != nil {
			t.Fatal(err)
		}
		r := request(dir, tree{"f": "old"}, tree{"f": test.text})
		r.Ops[0].Before.Exec = test.mode&0o100 != 0
		if err := apply.Apply(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != test.want {
			t.Errorf("%v became %v, want %v", test.mode, info.Mode(), test.want)
		}
	}
}

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

func TestHostChangesMeanwhile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		at   string // the step before which the host does it
		do   func(dir string) error
		want string
	}{
		{"before everything", "make the journal's directory", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "changed"), []byte("host\n"), 0o600)
		}, "changed changed on the host in this moment; nothing was written"},
		{"in the last instant", "move aside changed", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "changed"), []byte("host\n"), 0o600)
		}, "changed changed on the host in this moment; nothing was written"},
		{"deleted", "move aside changed", func(dir string) error {
			return os.Remove(filepath.Join(dir, "changed"))
		}, "changed changed on the host in this moment; nothing was written"},
		{"a file appears", "put in place new link", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "new link"), []byte("host\n"), 0o600)
		}, "new link changed on the host in this moment; nothing was written"},
		{"a file appears in the place of an old one", "put in place changed", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "changed"), []byte("host\n"), 0o600)
		}, "changed changed on the host in this moment; nothing was written"},
		{"becomes a link", "move aside changed", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "changed")), os.Symlink("/etc/passwd", filepath.Join(dir, "changed")))
		}, "changed changed on the host in this moment; nothing was written"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := fresh(t)
			var host tree
			r := request(dir, before(), after())
			moved := false
			r.Step = func(name string) error {
				moved = moved || strings.HasPrefix(name, "move aside")
				if name != test.at {
					return nil
				}
				return test.do(dir)
			}
			err := apply.Apply(t.Context(), r)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Apply = %v, want %s", err, test.want)
			}
			if test.name == "before everything" && moved {
				t.Error("it began although it could have known")
			}
			host = read(t, dir)
			for name, text := range before() {
				if name != "changed" && host[name] != text {
					t.Errorf("%q: %q, want %q", name, host[name], text)
				}
			}
			if strings.HasPrefix(test.name, "a file appears") {
				for _, name := range []string{"changed", "new link"} {
					if strings.HasSuffix(test.at, name) && host[name] != "host\n" {
						t.Errorf("what appeared at %s was overwritten: %q", name, host[name])
					}
				}
			}
		})
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

// A directory on the way that becomes a link, at whatever moment, leads nowhere.
func TestDirectoryBecomesALink(t *testing.T) {
	t.Parallel()
	was := tree{"dir/f": "old\n", "dir/gone": "gone\n"}
	will := tree{"dir/f": "new\n", "dir/new": "new\n", "dir/link": "-> f"}
	var names []string
	r := request(t.TempDir(), was, will)
	write(t, r.Dir, was)
	r.Step = func(name string) error { names = append(names, name); return nil }
	if err := apply.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for i := range names {
		dir, outside, count := t.TempDir(), t.TempDir(), i
		write(t, dir, was)
		theirs := tree{"f": "old\n", "gone": "gone\n"}
		write(t, outside, theirs)
		r := request(dir, was, will)
		r.Step = func(string) error {
			if count--; count == -1 {
				return errors.Join(os.Rename(filepath.Join(dir, "dir"), filepath.Join(dir, "moved")), os.Symlink(outside, filepath.Join(dir, "dir")))
			}
			return nil
		}
		_ = apply.Apply(t.Context(), r)
		if diff := cmp.Diff(theirs, read(t, outside)); diff != "" {
			t.Errorf("at step %d (%s) it wrote through the link (-want +got)\n%s", i, names[i], diff)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../x", "/x", ".git/hooks/x", "a/.GIT/config", "a//b", "a/./b", workspace.ApplyDir + "/x"} {
		dir := t.TempDir()
		err := apply.Apply(t.Context(), request(dir, nil, tree{name: "x y"}))
		if err == nil || !strings.HasPrefix(err.Error(), "refused ") {
			t.Errorf("%q: %v", name, err)
		}
		if found := read(t, dir); len(found) != 0 {
			t.Errorf("%q left %q", name, found)
		}
	}
	err := apply.Apply(t.Context(), request(t.TempDir(), nil, tree{"l": "-> ../x"}))
	if err == nil || err.Error() != "refused l: a link that leads out of the directory" {
		t.Error(err)
	}
}

// The bytes are those that were shown.
func TestOtherBytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := request(dir, nil, tree{"f": "shown"})
	r.Open = func(string) (fs.File, error) { return fstest.MapFS{"f": {Data: []byte("other")}}.Open("f") }
	err := apply.Apply(t.Context(), r)
	if err == nil || err.Error() != "writing f: the staged bytes are not those that were shown" {
		t.Error(err)
	}
	if found := read(t, dir); len(found) != 0 {
		t.Errorf("left %q", found)
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

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	dir := fresh(t)
	r := request(dir, before(), after())
	tried := false
	r.Step = func(string) error {
		if tried {
			return nil
		}
		tried = true
		if _, err := apply.Recover(dir); !errors.Is(err, apply.ErrBusy) {
			t.Errorf("Recover beside an apply = %v", err)
		}
		if err := apply.Apply(t.Context(), request(dir, nil, tree{"x": "y"})); !errors.Is(err, apply.ErrBusy) {
			t.Errorf("Apply beside an apply = %v", err)
		}
		return nil
	}
	if err := apply.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	dir := fresh(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := request(dir, before(), after())
	r.Step = func(name string) error {
		if strings.HasPrefix(name, "put in place") {
			cancel()
		}
		return nil
	}
	if err := apply.Apply(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply = %v", err)
	}
	if diff := cmp.Diff(before(), read(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTenThousand(t *testing.T) {
	t.Parallel()
	dir, was, will := t.TempDir(), tree{}, tree{}
	for i := range 10_000 {
		name := fmt.Sprintf("d%d/f%d", i%97, i)
		if i%3 > 0 {
			was[name] = fmt.Sprint("old ", i)
		}
		if i%3 < 2 {
			will[name] = fmt.Sprint("new ", i)
		}
	}
	write(t, dir, was)
	if err := apply.Apply(t.Context(), request(dir, was, will)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(will, read(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff[:min(len(diff), 2000)])
	}
	if entries, err := os.ReadDir(dir); err != nil || bytes.Contains([]byte(fmt.Sprint(entries)), []byte(workspace.ApplyDir)) {
		t.Errorf("left over: %v, %v", entries, err)
	}
}
