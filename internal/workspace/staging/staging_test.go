package staging_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/staging"
	"bottle.internal/internal/workspace/wire"
)

func stream(t testing.TB, head any, fill func(*wire.Writer) error) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w, err := wire.NewWriter(&out, head)
	if err == nil {
		err = errors.Join(fill(w), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return &out
}

func file(w *wire.Writer, name, text string) error {
	return w.File(name, false, int64(len(text)), strings.NewReader(text))
}

func good() wire.Packed { return wire.Packed{Format: wire.Format} }

// What is on the disk has no name of the guest's, and is nobody else's to read.
func TestBlobs(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	stage, err := staging.Receive(stream(t, good(), func(w *wire.Writer) error {
		return errors.Join(file(w, "a/b\n", "text"), file(w, "same", "text"), w.Link("l", "a"), w.Gone("g"), w.Skipped("s\x1b", "why\x1b"))
	}), parent, workspace.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	const sum = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
	if stage.Changed["a/b\n"].Sum != sum || stage.Changed["l"].Target != "a" || !stage.Gone["g"] || stage.Skipped[0].Why != `why\x1b` {
		t.Errorf("%+v", stage)
	}
	var names []string
	_ = filepath.WalkDir(parent, func(path string, entry fs.DirEntry, _ error) error {
		info, _ := entry.Info()
		names = append(names, entry.Name())
		if path != parent && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return nil
	})
	if len(names) != 3 || names[2] != sum {
		t.Errorf("%q", names)
	}
	f, err := stage.Open(sum)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(f)
	if f.Close(); string(text) != "text" {
		t.Errorf("%q", text)
	}
	for _, bad := range []string{"", "..", "../" + sum[3:], strings.Repeat("/", 64)} {
		if _, err := stage.Open(bad); err == nil {
			t.Errorf("%q was opened", bad)
		}
	}
	if err := stage.Close(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(parent); len(entries) != 0 || err != nil {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		head any
		fill func(*wire.Writer) error
		want string
	}{
		{wire.Packed{Format: 2}, func(*wire.Writer) error { return nil }, "the guest speaks format 2, this bottle 1: it was started by another version"},
		{good(), func(w *wire.Writer) error { return errors.Join(file(w, "a", "x"), w.Gone("a")) }, "a is there, and gone too"},
		{good(), func(w *wire.Writer) error { return errors.Join(w.Gone("a"), file(w, "a", "x")) }, "a is there, and gone too"},
		{good(), func(w *wire.Writer) error { return w.Attach(wire.Base, 1, strings.NewReader("x")) }, "nothing that a guest sends: base"},
		{good(), func(w *wire.Writer) error { return file(w, ".git/config", "x") }, "refused f/.git/config: git's own directory"},
	} {
		parent := t.TempDir()
		_, err := staging.Receive(stream(t, test.head, test.fill), parent, workspace.DefaultLimits())
		if err == nil || err.Error() != "receiving the workspace: "+test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
		if entries, err := os.ReadDir(parent); len(entries) != 0 || err != nil {
			t.Errorf("left over: %v, %v", entries, err)
		}
	}
}

// FuzzReceive: whatever a guest sends, nothing is left of it after an error.
func FuzzReceive(f *testing.F) {
	f.Add(stream(f, good(), func(w *wire.Writer) error {
		return errors.Join(file(w, "a", "x"), w.Link("l", "a"), w.Gone("g"), w.Skipped("s", "y"))
	}).Bytes())
	f.Add([]byte("head"))
	parent := f.TempDir()
	f.Fuzz(func(t *testing.T, bytesOfGuest []byte) {
		stage, err := staging.Receive(bytes.NewReader(bytesOfGuest), parent, workspace.Limits{Files: 10, Bytes: 10_000})
		if err == nil {
			err = stage.Close()
			if err != nil {
				t.Error(err)
			}
		}
		if entries, _ := os.ReadDir(parent); len(entries) != 0 {
			t.Errorf("left over: %v", entries)
		}
	})
}
