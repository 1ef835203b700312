package transfer_test

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"bottle.internal/internal/event"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/guest/carry"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/manifest"
	"bottle.internal/internal/state"
	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/changes"
	"bottle.internal/internal/workspace/listing"
	"bottle.internal/internal/workspace/transfer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// carried is a project on the host, a bottle, and a guest that is a directory: the programs
// of its side are the real ones.
type carried struct {
	t        *testing.T
	dir      string // the project
	guest    string // the guest's working directory
	instance *state.Instance
	answer   func(out io.Writer) (int, error) // of a guest that lies; nil: an honest one
}

func carry1(t *testing.T, files map[string]string) *carried {
	t.Helper()
	c := &carried{t: t, dir: t.TempDir(), guest: t.TempDir()}
	c.dir, _ = filepath.EvalSymlinks(c.dir)
	root, err := state.OpenRoot(filepath.Join(t.TempDir(), "bottle"))
	if err == nil {
		c.instance, err = root.Create("demo-aaaaa")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.instance.Unlock() })
	put(t, c.dir, files)
	return c
}

// put writes files; "-> " begins a link, "x " an executable, and no text at all removes.
func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		err := os.Remove(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(text, "x ") {
			mode = 0o755
		}
		target, link := strings.CutPrefix(text, "-> ")
		switch {
		case text == "":
			continue
		case os.MkdirAll(filepath.Dir(path), 0o755) != nil:
			t.Fatal("no directory for", name)
		case link:
			err = os.Symlink(target, path)
		default:
			err = os.WriteFile(path, []byte(text), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// got reads a directory but for git's own.
func got(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if err == nil && entry.Name() == ".git" {
				return fs.SkipDir
			}
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if entry.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			files[name] = "-> " + target
			return err
		}
		text, err := os.ReadFile(path)
		info, _ := entry.Info()
		if workspace.IsExec(info.Mode()) != strings.HasPrefix(string(text), "x ") {
			t.Errorf("%s: mode %v", name, info.Mode())
		}
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func (c *carried) run(ctx context.Context, command guestexec.Command, stdio guestexec.Stdio) (int, error) {
	place := carry.Place{Mark: c.guest + ".mark", UID: -1, Git: func(ctx context.Context, dir string, in io.Reader, args ...string) error {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir, cmd.Stdin, cmd.Env = dir, in, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%q: %w: %s", args, err, out)
		}
		return nil
	}}
	var err error
	switch {
	case !command.Root:
		c.t.Error("it does not run as root")
	case command.Argv[1] == "unpack":
		err = place.Unpack(ctx, stdio.Stdin)
	case c.answer != nil:
		_, _ = io.Copy(io.Discard, stdio.Stdin)
		return c.answer(stdio.Stdout)
	default:
		err = place.Pack(stdio.Stdin, stdio.Stdout)
	}
	if err != nil {
		fmt.Fprintf(stdio.Stderr, "bottle-guest: %v\n", err)
		return 125, nil
	}
	return 0, nil
}

func (c *carried) in() transfer.In {
	options := listing.Options{History: "head", Limits: workspace.DefaultLimits(), Path: os.Getenv("PATH")}
	options.Git, _ = execx.Find("git")
	return transfer.In{Dir: c.dir, Workdir: c.guest, Listing: options, Instance: c.instance, Events: event.Discard()}
}

func (c *carried) copyIn() error { return c.in().Run(c.t.Context(), c.run) }

// out copies out to where it came from, or elsewhere.
func (c *carried) out(dir string) (*transfer.Staged, error) {
	c.t.Helper()
	record, err := transfer.ReadRecord(c.instance)
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := transfer.Out{
		Instance: c.instance, Record: record, Dir: cmp.Or(dir, record.Dir), Rules: changes.Rules{Protected: manifest.ProtectedPaths()}, Events: event.Discard(),
	}.Fetch(c.t.Context(), c.run)
	if out != nil {
		c.t.Cleanup(func() { out.Close() })
	}
	return out, err
}

// apply copies everything out that can be.
func (c *carried) apply() int {
	c.t.Helper()
	out, err := c.out("")
	if err != nil {
		c.t.Fatal(err)
	}
	selected, err := out.Set.Select(changes.Choice{Sensitive: true})
	if err == nil {
		err = out.Apply(c.t.Context(), selected)
	}
	if err := errors.Join(err, out.Close()); err != nil {
		c.t.Fatal(err)
	}
	return len(selected)
}

func (c *carried) git(dir string, args ...string) string {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@test", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@test")
	text, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %q: %v: %s", args, err, text)
	}
	return strings.TrimRight(string(text), "\n")
}

func TestInAndOut(t *testing.T) {
	c := carry1(t, map[string]string{"a": "a\n", "dir/b": "b\n", "bad\xff\n": "x\n", "link": "-> a", "tool": "x t\n", ".env": "SECRET\n", ".gitignore": "build/\n", "build/x": "host's\n"})
	if err := c.copyIn(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "a\n", "dir/b": "b\n", "bad\xff\n": "x\n", "link": "-> a", "tool": "x t\n", ".gitignore": "build/\n"}
	if diff := gocmp.Diff(want, got(t, c.guest)); diff != "" {
		t.Fatalf("in the guest (-want +got)\n%s", diff)
	}
	if n := c.apply(); n != 0 {
		t.Errorf("nothing changed, %d applied", n)
	}
	put(t, c.guest, map[string]string{"a": "changed\n", "dir/b": "", "new\xfe": "new\n", "build/y": "guest's\n", "link": "-> tool"})
	if n := c.apply(); n != 4 {
		t.Errorf("%d applied", n)
	}
	want = map[string]string{
		"a": "changed\n", "bad\xff\n": "x\n", "new\xfe": "new\n", "link": "-> tool", "tool": "x t\n", ".env": "SECRET\n", ".gitignore": "build/\n", "build/x": "host's\n",
	}
	if diff := gocmp.Diff(want, got(t, c.dir)); diff != "" {
		t.Errorf("on the host (-want +got)\n%s", diff)
	}
	// The base has moved on: a second change of the same file is no conflict.
	put(t, c.guest, map[string]string{"a": "again\n"})
	if n := c.apply(); n != 1 {
		t.Errorf("%d applied", n)
	}
	if entries, err := filepath.Glob(c.instance.Path("*")); err != nil || strings.Contains(strings.Join(entries, " "), "copy-out") {
		t.Errorf("left over: %q, %v", entries, err)
	}
}

func TestTenThousandInAndOut(t *testing.T) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm") // 50,000 files take a slow disk a minute
	}
	files := map[string]string{}
	for i := range 10_000 {
		files[fmt.Sprintf("d%d/\xff%d\n", i%50, i)] = fmt.Sprintf("%d\n", i)
	}
	c := carry1(t, files)
	if err := c.copyIn(); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(files, got(t, c.guest)); diff != "" {
		t.Fatalf("in the guest: %.2000s", diff)
	}
	for name := range files {
		files[name] += "changed\n"
	}
	put(t, c.guest, files)
	if n := c.apply(); n != 10_000 {
		t.Errorf("%d applied", n)
	}
	if diff := gocmp.Diff(files, got(t, c.dir)); diff != "" {
		t.Errorf("on the host: %.2000s", diff)
	}
}

func TestRepositoryGoesIn(t *testing.T) {
	for _, detached := range []bool{false, true} {
		c := carry1(t, map[string]string{"a": "a\n", "gone": "g\n", ".env": "x\n", "staged": "s\n"})
		c.git(c.dir, "init", "-q", "-b", "topic/x")
		c.git(c.dir, "add", "-A")
		c.git(c.dir, "commit", "-q", "-m", "one")
		c.git(c.dir, "update-index", "--add", "--cacheinfo", "160000,"+c.git(c.dir, "rev-parse", "HEAD")+",module")
		put(t, c.dir, map[string]string{"module/x": "x\n"})
		c.git(c.dir, "commit", "-q", "-m", "two")
		c.git(c.dir, "remote", "add", "origin", "ssh://git@git.test/x.git")
		if detached {
			c.git(c.dir, "checkout", "-q", "--detach")
		}
		put(t, c.dir, map[string]string{"a": "wip\n", "gone": "", "untracked": "u\n", "staged.pem": "p\n"})
		c.git(c.dir, "add", "-f", "staged.pem") // excluded, and not in HEAD
		if err := c.copyIn(); err != nil {
			t.Fatal(err)
		}
		for command, want := range map[string]string{
			"rev-parse HEAD": c.git(c.dir, "rev-parse", "HEAD"), "rev-list --count HEAD": "2", "remote get-url origin": "ssh://git@git.test/x.git",
			"status --short": " M a\n D gone\n?? untracked", // .env stays home and is no deletion
			"fsck":           "",
		} {
			if text := c.git(c.guest, strings.Fields(command)...); text != want {
				t.Errorf("git %s: %q, want %q", command, text, want)
			}
		}
		if branch := c.git(c.guest, "branch", "--show-current"); branch != map[bool]string{false: "topic/x"}[detached] {
			t.Errorf("branch %q", branch)
		}
		c.git(c.guest, "commit", "-q", "-a", "-m", "three")
		if text := c.git(c.guest, "show", "--stat", "--format=", "HEAD"); strings.Contains(text, ".env") {
			t.Errorf("the excluded file is in the agent's commit: %s", text)
		}
		if n := c.apply(); n != 0 {
			t.Errorf("%d applied", n)
		}
	}
}

// Elsewhere than where it came from, everything is new, and nothing there is overwritten.
func TestOutElsewhere(t *testing.T) {
	c := carry1(t, map[string]string{"a": "a\n", "b": "b\n"})
	if err := c.copyIn(); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	put(t, other, map[string]string{"a": "a\n", "b": "theirs\n"})
	out, err := c.out(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Set.Select(changes.Choice{}); len(out.Set.Same) != 1 || err == nil {
		t.Errorf("%+v, %v", out.Set.Changes, err)
	}
}

// A machine that was made anew in the place of the old one has deleted nothing.
func TestOtherMachine(t *testing.T) {
	c := carry1(t, map[string]string{"a": "a\n"})
	if err := c.copyIn(); err != nil {
		t.Fatal(err)
	}
	c.guest = t.TempDir()
	if _, err := c.out(""); err == nil || !strings.Contains(err.Error(), "this machine is not the one that the workspace was copied into") {
		t.Error(err)
	}
}

// An apply that was killed is ended by the next copy-out.
func TestCopyOutRecovers(t *testing.T) {
	c := carry1(t, map[string]string{"a": "a\n"})
	if err := c.copyIn(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(c.dir, workspace.ApplyDir, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.copyIn(); err == nil || !strings.Contains(err.Error(), "was cut short, or is going on") {
		t.Errorf("copy-in beside it = %v", err)
	}
	out, err := c.out("")
	if err != nil || out.Ended != "rolled back" {
		t.Errorf("%+v, %v", out, err)
	}
	if diff := gocmp.Diff(map[string]string{"a": "a\n"}, got(t, c.dir)); diff != "" {
		t.Error(diff)
	}
}

// endless is a guest that never stops.
func endless(out io.Writer) (int, error) {
	w := tar.NewWriter(out)
	_ = w.WriteHeader(&tar.Header{Name: "head", Size: 12, Typeflag: tar.TypeReg})
	_, _ = io.WriteString(w, `{"format":1}`)
	for i := 0; ; i++ {
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("d/%d", i), Typeflag: tar.TypeReg}); err != nil {
			return 1, nil //nolint:nilerr // the host has had enough: the guest's program ends with a status
		}
	}
}

func TestGuestLies(t *testing.T) {
	c := carry1(t, map[string]string{"a": "a\n"})
	if err := c.copyIn(); err != nil {
		t.Fatal(err)
	}
	before := got(t, c.dir)
	for name, test := range map[string]struct {
		answer func(io.Writer) (int, error)
		want   string
	}{
		"nothing":  {func(io.Writer) (int, error) { return 0, nil }, "receiving the workspace: the stream is cut off: unexpected EOF"},
		"noise":    {func(out io.Writer) (int, error) { _, _ = out.Write(bytes.Repeat([]byte("x"), 4096)); return 0, nil }, "receiving the workspace: reading the stream: archive/tar: invalid tar header"},
		"an error": {func(io.Writer) (int, error) { return 3, nil }, "the guest could not pack the workspace: "},
		"no guest": {func(io.Writer) (int, error) { return 0, errors.New("the machine is gone") }, "the machine is gone"},
		"for ever": {endless, "receiving the workspace: more than 200000 files"},
	} {
		c.answer = test.answer
		if _, err := c.out(""); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if entries, _ := filepath.Glob(c.instance.Path("copy-out-*")); len(entries) != 0 {
			t.Errorf("%s: left over: %q", name, entries)
		}
	}
	if diff := gocmp.Diff(before, got(t, c.dir)); diff != "" {
		t.Error(diff)
	}
}

// grows is a reader that lets something happen before its first byte.
type grows struct {
	io.Reader
	once func()
}

func (g *grows) Read(p []byte) (int, error) {
	if g.once != nil {
		g.once()
		g.once = nil
	}
	return g.Reader.Read(p)
}

func TestFileChangesWhileItGoesIn(t *testing.T) {
	c := carry1(t, map[string]string{"a": strings.Repeat("a", 4<<20)})
	err := c.in().Run(t.Context(), func(ctx context.Context, command guestexec.Command, stdio guestexec.Stdio) (int, error) {
		head := make([]byte, 1<<20) // by now the file is open
		if _, err := io.ReadFull(stdio.Stdin, head); err != nil {
			return 0, err
		}
		stdio.Stdin = &grows{io.MultiReader(bytes.NewReader(head), stdio.Stdin), func() { put(t, c.dir, nil); _ = os.Truncate(filepath.Join(c.dir, "a"), 2<<20) }}
		return c.run(ctx, command, stdio)
	})
	if err == nil || !strings.Contains(err.Error(), "a: it shrank while it was read") {
		t.Errorf("Run() = %v", err)
	}
	if _, err := os.Stat(c.instance.Path(state.WorkspaceFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a record: %v", err)
	}
}
