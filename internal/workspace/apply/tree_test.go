package apply_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

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
