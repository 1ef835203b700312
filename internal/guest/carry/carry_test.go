package carry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bottle.internal/internal/guest/carry"
	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/wire"
)

// place runs no git: it notes what would have been run.
func place(ran *[]string) carry.Place {
	return carry.Place{Mark: "/dev/null", UID: -1, Git: func(_ context.Context, dir string, in io.Reader, args ...string) error {
		line := strings.Join(args, " ")
		if in != nil {
			text, _ := io.ReadAll(in)
			line += fmt.Sprintf(" <%q", text)
		}
		*ran = append(*ran, line)
		return os.MkdirAll(filepath.Join(dir, ".git"), 0o755)
	}}
}

// stream makes what a host sends; close adds the end.
func stream(t *testing.T, head any, fill func(*wire.Writer) error, end bool) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w, err := wire.NewWriter(&out, head)
	if err == nil {
		err = fill(w)
	}
	if end {
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return &out
}

func file(w *wire.Writer, name, text string) error {
	return w.File(name, false, int64(len(text)), strings.NewReader(text))
}

func TestUnpackFollowsNoLink(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(dir, outside string) error{
		"a directory is a link": func(dir, outside string) error { return os.Symlink(outside, filepath.Join(dir, "d")) },
		"a file is a link": func(dir, outside string) error {
			return errors.Join(os.Mkdir(filepath.Join(dir, "d"), 0o755), os.Symlink(filepath.Join(outside, "f"), filepath.Join(dir, "d/f")))
		},
		"a link inside": func(dir, _ string) error {
			return errors.Join(os.Mkdir(filepath.Join(dir, "x"), 0o755), os.Symlink("x", filepath.Join(dir, "d")))
		},
	} {
		dir, outside := t.TempDir(), t.TempDir()
		if err := prepare(dir, outside); err != nil {
			t.Fatal(err)
		}
		_ = place(new([]string)).Unpack(t.Context(), stream(t, wire.Unpack{Workdir: dir}, func(w *wire.Writer) error { return file(w, "d/f", "x") }, true))
		for _, where := range []string{outside, filepath.Join(dir, "x")} {
			if entries, _ := os.ReadDir(where); len(entries) > 0 {
				t.Errorf("%s: it wrote through the link: %v", name, entries)
			}
		}
	}
}

// A link that comes first does not redirect a file that follows.
func TestUnpackMakesLinksLast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := place(new([]string)).Unpack(t.Context(), stream(t, wire.Unpack{Workdir: dir}, func(w *wire.Writer) error {
		return errors.Join(file(w, "real/x", "x"), w.Link("d", "real"), file(w, "d/f", "f"))
	}, true))
	if err == nil || !strings.HasPrefix(err.Error(), "d: ") {
		t.Errorf("Unpack = %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "real/f")); err == nil {
		t.Error("it wrote through the link")
	}
}

func TestUnpackRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, test := range []struct {
		in   *bytes.Buffer
		want string
	}{
		{stream(t, wire.Unpack{Workdir: dir}, func(w *wire.Writer) error { return file(w, "a", "x") }, false), "the stream is cut off: unexpected EOF"},
		{stream(t, wire.Unpack{Workdir: dir}, func(w *wire.Writer) error { return w.Gone("a") }, true), "a: nothing that is unpacked: d"},
		{stream(t, wire.Unpack{Workdir: dir}, func(w *wire.Writer) error { return w.Attach(wire.History, 1, strings.NewReader("x")) }, true), ": nothing that is unpacked: history"},
		{stream(t, wire.Unpack{Workdir: dir}, func(w *wire.Writer) error { return file(w, "../a", "x") }, true), "refused f/../a: a dot component"},
		{stream(t, wire.Unpack{Workdir: dir + "/missing"}, func(*wire.Writer) error { return nil }, true), "opening the working directory: open " + dir + "/missing: no such file or directory"},
	} {
		if err := place(new([]string)).Unpack(t.Context(), test.in); err == nil || err.Error() != test.want {
			t.Errorf("Unpack = %v, want %s", err, test.want)
		}
	}
}

func TestUnpackHistory(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		git  wire.Git
		want []string
	}{
		{wire.Git{Branch: "b", Origin: "ssh://x", Hidden: []workspace.Name{".env", "a\nb"}}, []string{
			"init --quiet --initial-branch=b", "fetch --quiet ./.git/bottle.bundle HEAD", "update-ref HEAD FETCH_HEAD", "read-tree HEAD", "remote add origin ssh://x",
			`update-index -z --skip-worktree --stdin <".env\x00a\nb\x00"`,
		}},
		{wire.Git{}, []string{
			"init --quiet --initial-branch=main", "fetch --quiet ./.git/bottle.bundle HEAD", "update-ref --no-deref HEAD FETCH_HEAD", "read-tree HEAD",
		}},
	} {
		dir, ran := t.TempDir(), []string{}
		err := place(&ran).Unpack(t.Context(), stream(t, wire.Unpack{Workdir: dir, Git: &test.git}, func(w *wire.Writer) error {
			return errors.Join(w.Attach(wire.History, 6, strings.NewReader("bundle")), file(w, "a", "x"))
		}, true))
		if err != nil || !slices.Equal(ran, test.want) {
			t.Errorf("%v, ran %q", err, ran)
		}
		if _, err := os.Lstat(filepath.Join(dir, ".git/bottle.bundle")); err == nil {
			t.Error("the bundle is left")
		}
	}
}

// pack returns what Pack sends, in short.
func pack(t *testing.T, dir string, base workspace.Base) string {
	t.Helper()
	var request, answer bytes.Buffer
	if err := (wire.Pack{Workdir: dir}).Request(&request, base); err != nil {
		t.Fatal(err)
	}
	if err := place(new([]string)).Pack(&request, &answer); err != nil {
		t.Fatal(err)
	}
	r := wire.NewReader(&answer, workspace.DefaultLimits())
	var head wire.Packed
	if err := r.Head(&head); err != nil {
		t.Fatal(err)
	}
	var said []string
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			slices.Sort(said)
			return strings.Join(said, "; ")
		}
		if err != nil {
			t.Fatal(err)
		}
		content, _ := io.ReadAll(record.Content)
		said = append(said, strings.TrimSpace(fmt.Sprintf("%s/%s %s%s", record.Kind, record.Path, content, record.State.Target)))
	}
}

// Nothing of outside comes along, whatever stands in the workspace.
func TestPack(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	f := func(text string) workspace.State {
		return workspace.State{Kind: workspace.File, Size: int64(len(text)), Sum: "other"}
	}
	err := errors.Join(
		os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600),
		os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o644), os.Symlink(outside, filepath.Join(dir, "was a directory")),
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "was a file")), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600),
		os.MkdirAll(filepath.Join(dir, "sub/.git"), 0o755), os.WriteFile(filepath.Join(dir, "sub/.git/config"), []byte("c"), 0o644),
		os.MkdirAll(filepath.Join(dir, ".git/hooks"), 0o755), os.WriteFile(filepath.Join(dir, ".git/hooks/x"), []byte("h"), 0o644),
		os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("ignored*\n"), 0o644), os.WriteFile(filepath.Join(dir, "ignored and in the base"), []byte("i"), 0o644),
		os.WriteFile(filepath.Join(dir, "ignored"), []byte("i"), 0o644), os.Mkdir(filepath.Join(dir, "empty"), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	got := pack(t, dir, workspace.Base{
		"a": f("a"), "was a directory/secret": f("secret"), "was a file": f("x"), "ignored and in the base": f("i"), "gone": f("g"), "empty": f("e"), "pipe": f("p"),
	})
	want := strings.Join([]string{
		"d/empty", "d/gone", "d/was a directory/secret", "f/.gitignore ignored*", "f/a a", "f/ignored and in the base i",
		"f/was a directory " + outside, "f/was a file " + outside + "/secret",
		"s/ignored ignored by .gitignore", "s/pipe neither a file nor a link", "s/sub/.git git's own directory",
	}, "; ")
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
