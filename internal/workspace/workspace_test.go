package workspace_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/workspace"
)

func TestBaseThereAndBack(t *testing.T) {
	t.Parallel()
	base := workspace.Base{
		"a\nb": {Kind: workspace.File, Exec: true, Size: 3, Sum: "00"}, "\xff\xfe\"\\": {Kind: workspace.Link, Target: "\xff\n"}, "\u202e": {Kind: workspace.File},
	}
	var text bytes.Buffer
	if n, err := base.WriteTo(&text); err != nil || n != int64(text.Len()) {
		t.Fatal(n, err)
	}
	if strings.Count(text.String(), "\n") != 3 || strings.Contains(text.String(), "\xff") || strings.Contains(text.String(), "\u202e") {
		t.Errorf("%q", text.String())
	}
	again, err := workspace.ReadBase(bytes.NewReader(text.Bytes()), 3)
	if diff := cmp.Diff(base, again); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := workspace.ReadBase(&text, 2); err == nil || err.Error() != "reading a base: more than 2 entries" {
		t.Error(err)
	}
}

func FuzzName(f *testing.F) {
	f.Add("a\xffb\n\"\\")
	f.Fuzz(func(t *testing.T, name string) {
		text, err := json.Marshal(workspace.Name(name))
		var again workspace.Name
		if err := errors.Join(err, json.Unmarshal(text, &again)); err != nil || string(again) != name {
			t.Errorf("%q became %q, %v", name, again, err)
		}
	})
}

func TestLook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "d/e"), 0o755), os.WriteFile(filepath.Join(dir, "d/f"), []byte("f"), 0o755),
		os.Symlink("d", filepath.Join(dir, "l")), os.Symlink("/etc", filepath.Join(dir, "out")))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]workspace.Kind{"d/f": workspace.File, "d": workspace.Dir, "l": workspace.Link, "x": "", "x/y": "", "d/x": ""} {
		if state, err := workspace.Look(root, name); err != nil || state.Kind != want || state.Exec != (name == "d/f") {
			t.Errorf("%s: %+v, %v", name, state, err)
		}
	}
	for name, want := range map[string]string{"l/f": "l is no directory", "out/passwd": "out is no directory", "d/f/x": "f is no directory"} {
		if _, err := workspace.Look(root, name); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}
