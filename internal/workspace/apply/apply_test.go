package apply_test

import (
	"bytes"
	"context"
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
