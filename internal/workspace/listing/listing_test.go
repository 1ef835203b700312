package listing_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/listing"
)

func options(t *testing.T) listing.Options {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("this test needs git")
	}
	return listing.Options{Git: git, Path: os.Getenv("PATH"), History: listing.HistoryHead, Limits: workspace.DefaultLimits()}
}

// project makes files; a text of "-> x" is a link.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(text, "-> "); link {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@test",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@test")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func paths(l listing.Listing) []string {
	var names []string
	for _, file := range l.Files {
		names = append(names, file.Path)
	}
	return names
}

func excluded(l listing.Listing) []string {
	var lines []string
	for _, e := range l.Excluded {
		lines = append(lines, fmt.Sprintf("%s: %s", e.Path.Show(), e.Why))
	}
	slices.Sort(lines)
	return lines
}

// The same directory, by git and by the walk.
func TestWhatGoesIn(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"main.go": "m", "sub/a": "a", "new\nline": "n", "bad\xff": "b", "inside": "-> sub/a", "sub/up": "-> ../main.go",
		".gitignore": "build/\n*.o\n!keep.o\n# comment\n", "sub/.gitignore": "local\n/only\n",
		"build/x": "x", "a.o": "o", "keep.o": "k", "sub/local": "l", "sub/only": "o", "sub/deep/only": "o", "local": "l",
		".env": "SECRET=1", "sub/.env.prod": "x", "tls/server.pem": "x", ".aws/credentials": "x", "id_ed25519": "x",
		".npmrc": "registry=x\n", "sub/.npmrc": "//x/:_authToken=abc\n",
		"outside": "-> ../x", "absolute": "-> /etc/passwd", "into git": "-> .git/config",
	}
	want := []string{".gitignore", ".npmrc", "bad\xff", "inside", "keep.o", "local", "main.go", "new\nline", "sub/.gitignore", "sub/a", "sub/deep/only", "sub/up"}
	wantOut := []string{
		`.aws/credentials: credentials by name (.aws/)`, `.env: credentials by name (.env)`, `a.o: ignored by .gitignore`, `absolute: a link to an absolute path`,
		`build: ignored by .gitignore`, `id_ed25519: credentials by name (id_ed25519*)`, `into git: a link into git's own directory`,
		`outside: a link that leads out of the directory`, `sub/.env.prod: credentials by name (.env.*)`, `sub/.npmrc: credentials by name (.npmrc with a credential)`,
		`sub/local: ignored by .gitignore`, `sub/only: ignored by .gitignore`, `tls/server.pem: credentials by name (*.pem)`,
	}
	for _, way := range []string{"walk", "git"} {
		dir, o := project(t, files), options(t)
		if way == "git" {
			git(t, dir, "init", "-q")
		} else {
			o.Git = ""
		}
		found, err := listing.Scan(t.Context(), dir, o)
		if err != nil {
			t.Fatal(way, err)
		}
		if diff := cmp.Diff(want, paths(found)); diff != "" {
			t.Errorf("%s: in (-want +got)\n%s", way, diff)
		}
		out := excluded(found)
		for i := range out {
			out[i] = strings.Replace(out[i], "build/:", "build:", 1)
		}
		if diff := cmp.Diff(wantOut, out); diff != "" {
			t.Errorf("%s: out (-want +got)\n%s", way, diff)
		}
	}
}

func TestInclude(t *testing.T) {
	t.Parallel()
	dir, o := project(t, map[string]string{".env": "x", "sub/.env": "x", "a.pem": "x", "b/testdata/a.pem": "x"}), options(t)
	o.Include = []string{"/.env", "testdata/*.pem"}
	found, err := listing.Scan(t.Context(), dir, o)
	if err != nil || !slices.Equal(paths(found), []string{".env", "b/testdata/a.pem"}) {
		t.Errorf("%q, %v", paths(found), err)
	}
}

// Of a mode the executable bit is left; what is no file stays out.
func TestModesAndSpecials(t *testing.T) {
	t.Parallel()
	dir, o := project(t, map[string]string{"setuid": "x", "script": "x", "group": "x"}), options(t)
	o.Git = ""
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "socket"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	err = errors.Join(os.Chmod(filepath.Join(dir, "setuid"), os.ModeSetuid|os.ModeSetgid|os.ModeSticky|0o755), os.Chmod(filepath.Join(dir, "script"), 0o700),
		os.Chmod(filepath.Join(dir, "group"), 0o654), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	found, err := listing.Scan(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, exec bool) listing.File {
		return listing.File{Path: name, State: workspace.State{Kind: workspace.File, Exec: exec, Size: 1}}
	}
	if diff := cmp.Diff([]listing.File{file("group", false), file("script", true), file("setuid", true)}, found.Files); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"pipe: a pipe", "socket: a socket"}, excluded(found)); diff != "" {
		t.Error(diff)
	}
}

func TestRepository(t *testing.T) {
	t.Parallel()
	dir, o := project(t, map[string]string{"a": "a", "gone": "g", ".env": "x", "sub/b": "b"}), options(t)
	git(t, dir, "init", "-q", "-b", "topic/one")
	git(t, dir, "add", "-A", "-f")
	git(t, dir, "commit", "-q", "-m", "one")
	git(t, dir, "remote", "add", "origin", "https://user:secret@git.test/x.git?token=y")
	if err := errors.Join(os.Remove(filepath.Join(dir, "gone")), os.WriteFile(filepath.Join(dir, "untracked"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "init", "-q", "nested")
	if err := os.WriteFile(filepath.Join(dir, "nested/x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := listing.Scan(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(paths(found), []string{"a", "sub/b", "untracked"}) {
		t.Errorf("%q", paths(found))
	}
	if found.Git == nil || found.Git.Branch != "topic/one" || found.Git.Head != git(t, dir, "rev-parse", "HEAD") || found.Git.Origin != "https://git.test/x.git" || found.Git.Bytes == 0 {
		t.Errorf("%+v", found.Git)
	}
	want := []string{".env: credentials by name (.env)", "nested/: a git repository of its own"}
	if diff := cmp.Diff(want, excluded(found)); diff != "" {
		t.Error(diff)
	}
	if len(found.Notes) != 1 || !strings.HasPrefix(found.Notes[0], "1 of the excluded files are in the commits that go in") {
		t.Errorf("%q", found.Notes)
	}
	var bundle bytes.Buffer
	if err := found.Bundle(t.Context(), o, &bundle); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "b")
	if err := os.WriteFile(file, bundle.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if heads := git(t, dir, "bundle", "list-heads", file); heads != found.Git.Head+" HEAD" {
		t.Error(heads)
	}

	if below, err := listing.Scan(t.Context(), filepath.Join(dir, "sub"), o); err != nil || below.Git != nil || !slices.Equal(paths(below), []string{"b"}) ||
		!slices.Equal(below.Notes, []string{"no commits go in: the directory is not the top of its repository"}) {
		t.Errorf("%+v, %v", below, err)
	}
	o.History = listing.HistoryNone
	if none, err := listing.Scan(t.Context(), dir, o); err != nil || none.Git != nil || len(none.Notes) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
}

func TestNoHistory(t *testing.T) {
	t.Parallel()
	dir, o := project(t, map[string]string{"a": "a"}), options(t)
	git(t, dir, "init", "-q")
	found, err := listing.Scan(t.Context(), dir, o)
	if err != nil || !slices.Equal(found.Notes, []string{"no commits go in: there are none yet"}) {
		t.Errorf("%q, %v", found.Notes, err)
	}
	git(t, dir, "add", "a")
	git(t, dir, "commit", "-q", "-m", "one")
	git(t, dir, "commit", "-q", "-m", "two", "--allow-empty")
	shallow := filepath.Join(t.TempDir(), "shallow")
	git(t, dir, "clone", "-q", "--depth=1", "file://"+dir, shallow)
	found, err = listing.Scan(t.Context(), shallow, o)
	if err != nil || !slices.Equal(found.Notes, []string{"no commits go in: the clone is shallow (git fetch --unshallow)"}) {
		t.Errorf("%q, %v", found.Notes, err)
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	dir, o := project(t, map[string]string{"a": "a"}), options(t)
	git(t, dir, "init", "-q")
	git(t, dir, "add", "a")
	git(t, dir, "commit", "-q", "-m", "one")
	for origin, want := range map[string]string{
		"git@git.test:x.git":             "git@git.test:x.git",
		"ssh://git:pw@git.test/x.git":    "ssh://git@git.test/x.git",
		"https://token@git.test/x.git":   "https://git.test/x.git",
		"https://a:b@git.test/x?key=v#f": "https://git.test/x",
		"https://a:b%zz@git.test/x":      "",
		"/srv/x.git":                     "/srv/x.git",
	} {
		git(t, dir, "config", "remote.origin.url", origin)
		found, err := listing.Scan(t.Context(), dir, o)
		if err != nil || found.Git.Origin != want {
			t.Errorf("%s: %q, %v, want %q", origin, found.Git.Origin, err, want)
		}
	}
}

// What the repository's own settings, or the user's, would run is not run.
func TestGitRunsNothing(t *testing.T) {
	t.Parallel()
	dir, o := project(t, map[string]string{"a": "a", "b": "b"}), options(t)
	ran := filepath.Join(t.TempDir(), "ran")
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho $0 >>"+ran+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "init", "-q")
	git(t, dir, "add", "a")
	git(t, dir, "commit", "-q", "-m", "one")
	git(t, dir, "add", "b")
	for _, key := range []string{"core.fsmonitor", "core.sshCommand", "core.pager", "pager.ls-files", "core.askPass", "credential.helper", "diff.external", "filter.x.clean", "filter.x.smudge", "gpg.program", "core.gitProxy", "uploadpack.packObjectsHook"} {
		git(t, dir, "config", key, program)
	}
	git(t, dir, "config", "core.hooksPath", filepath.Dir(program))
	if err := os.WriteFile(filepath.Join(dir, ".gitattributes"), []byte("* filter=x diff=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := listing.Scan(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := found.Bundle(t.Context(), o, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(ran); err == nil {
		t.Errorf("git ran what the repository named: %s", text)
	}
}

// A directory that is a bare repository is files like any: git does not take it for one.
func TestBareDirectory(t *testing.T) {
	t.Parallel()
	from, dir, o := project(t, map[string]string{"a": "a"}), t.TempDir(), options(t)
	git(t, from, "init", "-q")
	git(t, from, "add", "a")
	git(t, from, "commit", "-q", "-m", "one")
	git(t, from, "config", "core.worktree", dir)
	if err := errors.Join(os.Remove(dir), os.Rename(filepath.Join(from, ".git"), dir)); err != nil {
		t.Fatal(err)
	}
	found, err := listing.Scan(t.Context(), dir, o)
	if err != nil || found.Git != nil || !slices.Contains(paths(found), "HEAD") {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestForeignOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("this test needs root")
	}
	dir, o := project(t, map[string]string{"a": "a"}), options(t)
	git(t, dir, "init", "-q")
	if err := os.Lchown(dir, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	_, err := listing.Scan(t.Context(), dir, o)
	if owner := (*listing.OwnerError)(nil); !errors.As(err, &owner) {
		t.Errorf("Scan = %v", err)
	}
}

func TestTooMuch(t *testing.T) {
	t.Parallel()
	dir, o := project(t, map[string]string{"a": "1", "big/x": strings.Repeat("x", 2000), "many/1": "1", "many/2": "1"}), options(t)
	o.Limits = workspace.Limits{Files: 3, Bytes: 5000}
	_, err := listing.Scan(t.Context(), dir, o)
	want := dir + ` is too much for a bottle: 4 files, 2.0 kB (at most 3 files, 5.0 kB)
  big                      1 files, 2.0 kB
  many                     2 files, 2 B
  .                        1 files, 1 B`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
	o.Limits = workspace.Limits{Files: 10, Bytes: 1000}
	if _, err := listing.Scan(t.Context(), dir, o); err == nil {
		t.Error("too many bytes were taken")
	}
}

func TestUnfinishedCopyOut(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{workspace.ApplyDir + "/journal": "{}"})
	_, err := listing.Scan(t.Context(), dir, options(t))
	if err == nil || err.Error() != dir+": a copy-out into it was cut short, or is going on" {
		t.Error(err)
	}
}
