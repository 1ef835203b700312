package changes_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/changes"
	"bottle.internal/internal/workspace/staging"
	"bottle.internal/internal/workspace/wire"
)

// tree is a directory as text: "x " begins an executable's, "-> " a link's.
type tree map[string]string

func (tr tree) base() workspace.Base {
	base := workspace.Base{}
	for name, text := range tr {
		base[name] = state(text)
	}
	return base
}

func state(text string) workspace.State {
	if target, ok := strings.CutPrefix(text, "-> "); ok {
		return workspace.State{Kind: workspace.Link, Target: workspace.Name(target)}
	}
	sum := sha256.Sum256([]byte(text))
	return workspace.State{Kind: workspace.File, Exec: strings.HasPrefix(text, "x "), Size: int64(len(text)), Sum: hex.EncodeToString(sum[:])}
}

func write(t *testing.T, dir string, files tree) *os.Root {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "x ") {
			mode = 0o755
		}
		err := os.WriteFile(path, []byte(text), mode)
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = errors.Join(os.Remove(path), os.Symlink(target, path))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// send makes what a guest sends whose base has become this; a text of "gone" is a deletion.
func send(t *testing.T, files tree) *staging.Stage {
	t.Helper()
	var stream bytes.Buffer
	w, err := wire.NewWriter(&stream, wire.Packed{Format: wire.Format})
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		target, link := strings.CutPrefix(text, "-> ")
		switch {
		case text == "gone":
			err = errors.Join(err, w.Gone(name))
		case link:
			err = errors.Join(err, w.Link(name, target))
		default:
			err = errors.Join(err, w.File(name, strings.HasPrefix(text, "x "), int64(len(text)), strings.NewReader(text)))
		}
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	stage, err := staging.Receive(&stream, t.TempDir(), workspace.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stage.Close() })
	return stage
}

// judged says what became of a change, in a word or with its reason.
func judged(set *changes.Set) map[string]string {
	found := map[string]string{}
	for _, c := range set.Changes {
		word := c.Verb()
		switch {
		case c.Refused != "":
			word = "refused: " + c.Refused
		case c.Conflict != "":
			word = "conflict: " + c.Conflict
		case c.Sensitive != "":
			word += ", asks again: " + c.Sensitive
		}
		found[string(c.Path)] = word
	}
	for _, c := range set.Same {
		found[string(c.Path)] = "same"
	}
	return found
}

func TestCompare(t *testing.T) {
	t.Parallel()
	base := tree{
		"a": "a\n", "b": "b\n", "gone": "g\n", "dir/x": "x\n", "dir/y": "y\n", "file": "f\n", "host changed": "h\n", "host deleted": "h\n", "both": "b\n", "tool": "t\n", "l": "-> a",
		"unchanged": "u\n", "README": "r\n", ".envrc": "e\n", "deep/kept": "k\n",
	}
	host := maps.Clone(base)
	host["host changed"], host["both"], host["own"], host["ignored/x"], host["out"] = "other\n", "the same\n", "own\n", "x\n", "-> /etc"
	host["way"] = "-> dir"
	delete(host, "host deleted")
	guest := tree{
		"a": "new\n", "new": "n\n", "gone": "gone", "host changed": "guest\n", "host deleted": "guest\n", "both": "the same\n", "own": "guest\n",
		"tool": "x t\n", "l": "-> b", "dir": "a file now\n", "dir/x": "gone", "dir/y": "gone", "file": "gone", "file/in": "i\n",
		"readme": "r\n", "to hell": "-> ../x", "by the host": "-> out/passwd", "way/z": "z\n", ".envrc": "changed\n", ".vscode/tasks.json": "{}\n", "sub/CLAUDE.md": "c\n",
		".github/workflows/ci.yml": "ci\n", "run": "x r\n", ".idea": "-> deep", "repo/HEAD": "ref\n", "repo/objects/x": "o\n", "repo/refs/y": "r\n", "repo/src": "s\n", "never/was": "gone",
		"a/b": "below a file\n", "deep": "on a directory\n",
	}
	set, err := changes.Compare(base.base(), send(t, guest), write(t, t.TempDir(), host), changes.Rules{Protected: []string{".github/workflows/**"}})
	if err != nil {
		t.Fatal(err)
	}
	bare := "refused: repo would be a git repository without .git"
	want := map[string]string{
		"a": "changed", "new": "new", "gone": "deleted", "both": "same", "l": "changed", "dir": "new", "dir/x": "deleted", "dir/y": "deleted", "file": "deleted", "file/in": "new",
		"host changed": "conflict: changed on the host meanwhile", "host deleted": "conflict: deleted on the host meanwhile", "own": "conflict: the host has one that did not go in",
		"tool": "changed, asks again: a new executable", "run": "new, asks again: a new executable",
		"readme": "refused: README is the same name on some file systems", "to hell": "refused: a link that leads out of the directory",
		"by the host": "refused: a link that leads out of the directory, by a link of the host's", "way/z": "conflict: way is no directory",
		".envrc": "changed, asks again: .envrc", ".vscode/tasks.json": "new, asks again: .vscode/", ".idea": "new, asks again: .idea/", "sub/CLAUDE.md": "new, asks again: CLAUDE.md",
		".github/workflows/ci.yml": "new, asks again: .github/workflows/**",
		"repo/HEAD":                bare, "repo/objects/x": bare, "repo/refs/y": bare, "repo/src": "new",
		"a/b": "refused: a is a file, and a directory too", "deep": "refused: deep is a directory, and a file too",
	}
	if diff := cmp.Diff(want, judged(set)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	if _, err := set.Select(changes.Choice{}); err == nil || !strings.HasPrefix(err.Error(), "4 of the changes are to what the host has changed meanwhile; nothing was written\n  ") {
		t.Errorf("Select = %v", err)
	}
	for _, test := range []struct {
		choice changes.Choice
		count  int
	}{
		{changes.Choice{SkipConflicts: true}, 10},
		{changes.Choice{SkipConflicts: true, Sensitive: true}, 17},
	} {
		selected, err := set.Select(test.choice)
		if err != nil || len(selected) != test.count {
			t.Errorf("%+v selects %d, %v, want %d", test.choice, len(selected), err, test.count)
		}
		for _, c := range selected {
			if c.Refused != "" || c.Conflict != "" || c.Sensitive != "" && !test.choice.Sensitive {
				t.Errorf("%+v selects %+v", test.choice, c)
			}
		}
	}
	rebased := base.base()
	set.Rebase(rebased, nil)
	if rebased["both"] != state("the same\n") || rebased["a"] != state("a\n") {
		t.Errorf("%+v", rebased)
	}
}

// What is shown is text: nothing of it moves a cursor, and its length has bounds.
func TestText(t *testing.T) {
	t.Parallel()
	base := tree{"a\x1b[2J": "one\ntwo\n", "bin": "\x00\x01", "gone": "g\n", "same mode": "s\n"}
	guest := tree{
		"a\x1b[2J": "one\n\x1b]0;title\x07\u202etwo\r\n", "bin": "\x00\x01\x02", "gone": "gone", "l": "-> bin", "new\nfile": "1\n2\n3", "bad": "\xff\n", "same mode": "x s\n", "evil": "-> /x",
	}
	set, err := changes.Compare(base.base(), send(t, guest), write(t, t.TempDir(), base), changes.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	set.Diff(&out, false)
	set.Stat(&out, false)
	want := `--- a/a\x1b[2J
+++ b/a\x1b[2J
@@ -1,2 +1,2 @@
 one
-two
+\x1b]0;title\x07\u202etwo\r
--- /dev/null
+++ b/bad
not shown: nothing -> 2 B
--- a/bin
+++ b/bin
not shown: 2 B -> 3 B
--- a/gone
+++ /dev/null
@@ -1,1 +0,0 @@
-g
--- /dev/null
+++ b/l
@@ -0,0 +1,1 @@
+-> bin
--- /dev/null
+++ b/new\nfile
@@ -0,0 +1,3 @@
+1
+2
+3
\ No newline at end of file
--- a/same mode [executable] [ASKS AGAIN: a new executable]
+++ b/same mode
@@ -1,1 +1,1 @@
-s
+x s
 a\x1b[2J                                 | changed 2 +-
 bad                                      | new, nothing -> 2 B
 bin                                      | changed, 2 B -> 3 B
 evil                                     | new 1 + [REFUSED: a link to an absolute path]
 gone                                     | deleted 1 -
 l                                        | new 1 +
 new\nfile                                | new 3 +++
 same mode                                | changed 2 +- [executable] [ASKS AGAIN: a new executable]
 8 changed, 7 lines added, 3 removed
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestLongText(t *testing.T) {
	t.Parallel()
	guest := tree{"big": strings.Repeat("line\n", 1000), "wide": strings.Repeat("w", 2000) + "\n", "huge": strings.Repeat("x", 2<<20)}
	guest["z/.envrc"] = "after a hundred others\n"
	for i := range 100 {
		guest[fmt.Sprintf("n%03d", i)] = "n\n"
	}
	set, err := changes.Compare(nil, send(t, guest), write(t, t.TempDir(), nil), changes.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	var short, full bytes.Buffer
	set.Diff(&short, false)
	set.Stat(&short, false)
	set.Diff(&full, true)
	set.Stat(&full, true)
	for _, want := range []string{" MORE LINES ARE NOT SHOWN (--full shows them)\n", " ... and 43 more (--full shows them)\n"} {
		if !strings.Contains(short.String(), want) || strings.Contains(full.String(), want) {
			t.Errorf("%q: short %v, full %v", want, strings.Contains(short.String(), want), strings.Contains(full.String(), want))
		}
	}
	if !strings.Contains(short.String(), " | new 1 + [ASKS AGAIN: .envrc]\n") {
		t.Error("what asks again is hidden by what does not")
	}
	if lines := strings.Count(short.String(), "\n"); lines > 480 {
		t.Errorf("%d lines", lines)
	}
	if !strings.Contains(full.String(), strings.Repeat("w", 2000)) || !strings.Contains(full.String(), "not shown: nothing -> 2.1 MB") {
		t.Error("with --full a long line is cut, or a huge file is not")
	}
}
