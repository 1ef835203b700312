package provision_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"bottle.internal/internal/guest/receive"
	"bottle.internal/pkg/provision"
	"bottle.internal/tests/golden"
)

func apply(t *testing.T, g *fakeGuest, in provision.Input) {
	t.Helper()
	if err := provision.Apply(t.Context(), g, render(t, in)); err != nil {
		t.Fatal(err)
	}
}

// tree lists what is in the guest, with modes, owners and contents.
func tree(t *testing.T, g *fakeGuest) string {
	t.Helper()
	var listing strings.Builder
	err := filepath.WalkDir(g.root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		var content []byte
		switch {
		case info.Mode().IsRegular():
			content, err = os.ReadFile(name)
		case info.Mode()&fs.ModeSymlink != 0:
			var target string
			target, err = os.Readlink(name)
			content = []byte(target)
		}
		fmt.Fprintf(&listing, "%s %s %s %q\n", info.Mode(), g.owners[name], strings.TrimPrefix(name, g.root), content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return listing.String()
}

func TestApplyMakesTheFiles(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	apply(t, g, everything(t))
	for name, want := range map[string]struct {
		mode fs.FileMode
		text string
	}{
		"home/agent/.bottle/prompt.md":                    {0o600, "Be kind.\n"},
		"home/agent/.claude.json":                         {0o600, "{}\n"},
		"home/agent/.claude/skills/review/SKILL.md":       {0o644, "# Review\n"},
		"home/agent/.claude/skills/review/scripts/run.sh": {0o755, "#!/bin/sh\n"},
		"run/bottle/env":                                  {0o600, "{\"DB_PASSWORD\":\"hunter2 <&>\",\"TZ\":\"UTC\"}\n"},
		"run/bottle/ready":                                {0o644, ""},
	} {
		if got := g.read(t, name); got != want.text {
			t.Errorf("%s: %q, want %q", name, got, want.text)
		}
		if info, err := os.Stat(g.path(name)); err == nil && info.Mode() != want.mode {
			t.Errorf("%s: mode %s, want %s", name, info.Mode(), want.mode)
		}
	}
	if info, err := os.Stat(g.path("home/agent/work")); err != nil || !info.IsDir() {
		t.Errorf("working directory: %v", err)
	}
	for name, want := range map[string]string{
		"home/agent/.bottle": "1000:1000", "home/agent/.claude/skills/review/scripts/run.sh": "1000:1000",
		"run/bottle/env": "0:0", "etc/gitconfig": "0:0", "run/bottle": "",
	} {
		if got := g.owners[g.path(name)]; got != want {
			t.Errorf("%s belongs to %q, want %q", name, got, want)
		}
	}
}

func TestApplyTwiceIsTheSame(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	in := everything(t)
	apply(t, g, in)
	first := tree(t, g)
	g.write(t, "home/agent/.claude/skills/review/old.md", "from an earlier version", 0o644)
	g.write(t, "home/agent/work/main.go", "the agent's", 0o644)
	apply(t, g, in)
	if err := os.Remove(g.path("home/agent/work/main.go")); err != nil {
		t.Errorf("the agent's own file is gone: %v", err)
	}
	if second := tree(t, g); second != first {
		t.Errorf("first\n%s\nsecond\n%s", first, second)
	}
}

func TestHundredFilesCostOneCall(t *testing.T) {
	t.Parallel()
	skill := fstest.MapFS{}
	for i := range 100 {
		skill[fmt.Sprintf("dir%d/file%d", i%7, i)] = &fstest.MapFile{Data: []byte("x")}
	}
	g := newGuest(t)
	apply(t, g, provision.Input{Skills: []provision.Skill{{Name: "big", FS: skill}}})
	if len(g.archives) != 1 {
		t.Errorf("%d calls", len(g.archives))
	}
	if text := g.read(t, "home/agent/.claude/skills/big/dir1/file99"); text != "x" {
		t.Errorf("the last file: %q", text)
	}
}

// The rest of what the guest does is the first entry's to say.
func TestInstructionsGolden(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	in := everything(t)
	in.Workdir = "/srv/it's here"
	in.Supervise = ""
	apply(t, g, in)
	entries := tar.NewReader(bytes.NewReader(g.archives[0]))
	header, err := entries.Next()
	if err != nil || header.Name != receive.InstructionsName {
		t.Fatalf("the first entry is %v, %v", header, err)
	}
	text, err := io.ReadAll(entries)
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/instructions.golden", string(text))
}

func TestSameInputSameTar(t *testing.T) {
	t.Parallel()
	var tars [][]byte
	for range 2 {
		g := newGuest(t)
		apply(t, g, everything(t))
		tars = append(tars, g.archives[0])
	}
	if !bytes.Equal(tars[0], tars[1]) {
		t.Error("two tars differ")
	}
}

func TestWorkdirElsewhere(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	apply(t, g, provision.Input{Workdir: "/srv/it's here"})
	if got := g.owners[g.path("srv/it's here")]; got != "1000:1000" {
		t.Errorf("it belongs to %q", got)
	}
	clear(g.owners)
	apply(t, g, provision.Input{Workdir: "/srv/it's here"})
	if got := g.owners[g.path("srv/it's here")]; got != "" {
		t.Errorf("a directory that existed got the owner %q", got)
	}
}

func TestApplyErrors(t *testing.T) {
	t.Parallel()
	in := everything(t)
	for _, test := range []struct {
		name   string
		change func(g *fakeGuest)
		want   string
	}{
		{"a directory in the way", func(g *fakeGuest) {
			g.write(t, "run/bottle/env/file", "", 0o644)
		}, "provisioning: the guest ended with status 125: files: remove ROOT/run/bottle/env: directory not empty"},
		{"words that a terminal would obey", func(g *fakeGuest) {
			g.root += "\x1b[31m\nleft"
			g.write(t, "home", "not a directory", 0o644)
		}, "provisioning: the guest ended with status 125: remove: open ROOT?[31m; left/home/agent/.claude/skills: not a directory"},
		{"killed twice", func(g *fakeGuest) {
			g.answer = func(int) (int, error, bool) { return 137, nil, true }
		}, "provisioning: the guest ended with status 137"},
		{"the machine is gone", func(g *fakeGuest) {
			g.answer = func(int) (int, error, bool) { return 1, errors.New("vm not found: x"), true }
		}, "provisioning: vm not found: x"},
		{"no trust store", func(g *fakeGuest) {
			if err := os.RemoveAll(g.path("etc/ssl")); err != nil {
				t.Fatal(err)
			}
		}, "provisioning: the guest ended with status 125: ca: open ROOT/etc/ssl/certs/ca-certificates.crt: no such file or directory"},
		{"the bundle does not take the certificate", func(g *fakeGuest) {
			bundle := g.path("etc/ssl/certs/ca-certificates.crt")
			if err := errors.Join(os.Remove(bundle), os.Symlink("/dev/null", bundle)); err != nil {
				t.Fatal(err)
			}
		}, "provisioning: the guest ended with status 125: ca: " +
			"/usr/local/share/ca-certificates/bottle-9c59c24e5d26b91d.crt did not get into /etc/ssl/certs/ca-certificates.crt"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := newGuest(t)
			g.write(t, "run/bottle/ready", "from an earlier launch", 0o644)
			root := g.root
			test.change(g)
			err := provision.Apply(t.Context(), g, render(t, in))
			if got := strings.ReplaceAll(fmt.Sprint(err), root, "ROOT"); got != test.want {
				t.Errorf("\n got %s\nwant %s", got, test.want)
			}
			if _, err := os.Stat(g.path("run/bottle/ready")); err == nil && g.answer == nil {
				t.Error("a failure left the machine ready")
			}
		})
	}
}

// The first commands in a machine that has just started may be killed.
func TestKilledOnceIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, killed := range []error{nil, errors.New("the guest reported no exit code")} {
		g := newGuest(t)
		g.answer = func(call int) (int, error, bool) { return 137, killed, call == 1 }
		apply(t, g, everything(t))
		if len(g.archives) != 2 || !bytes.Equal(g.archives[0], g.archives[1]) {
			t.Errorf("%d calls", len(g.archives))
		}
	}
}

func TestNoSecondTryAfterCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	g := newGuest(t)
	g.answer = func(int) (int, error, bool) {
		cancel()
		return 137, context.Canceled, true
	}
	if err := provision.Apply(ctx, g, render(t, provision.Input{})); !errors.Is(err, context.Canceled) || len(g.archives) != 1 {
		t.Errorf("%v after %d calls", err, len(g.archives))
	}
}

func TestANewCATakesThePlaceOfTheOld(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	before, after := makeCA(t), makeCA(t) // of one name, as after a resume
	apply(t, g, provision.Input{CAs: [][]byte{before}})
	if got := g.read(t, "etc/ssl/certs/ca-certificates.crt"); got != g.world+string(before) {
		t.Errorf("first bundle: %s", got)
	}
	g.write(t, "etc/ssl/certs/ca-certificates.crt", g.world+string(before)+g.world, 0o644) // what apt may make of it
	for range 2 {
		apply(t, g, provision.Input{CAs: [][]byte{after}})
		if got := g.read(t, "etc/ssl/certs/ca-certificates.crt"); got != g.world+g.world+string(after) {
			t.Errorf("second bundle: %s", got)
		}
		for pattern, want := range map[string]int{
			"usr/local/share/ca-certificates/bottle-*.crt": 1, "etc/ssl/certs/bottle-*.pem": 1, "etc/ssl/certs/*.[0-9]": 1, "etc/ssl/certs/*": 3,
		} {
			if names, err := filepath.Glob(g.path(pattern)); err != nil || len(names) != want {
				t.Errorf("%s: %q", pattern, names)
			}
		}
	}
}

// Two certificates of one name: OpenSSL looks for them as hash.0 and hash.1.
func TestTwoCAsOfOneName(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	apply(t, g, provision.Input{CAs: [][]byte{makeCA(t), makeCA(t)}})
	if links, err := filepath.Glob(g.path("etc/ssl/certs/*.[01]")); err != nil || len(links) != 2 {
		t.Errorf("links: %q", links)
	}
}

func TestApplyChecksItsInput(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]provision.Rendered{
		`provisioning: path "/a/../b": want an absolute path without dot segments`: {Files: []provision.File{{Path: "/a/../b"}}},
		`provisioning: path "/": want an absolute path without dot segments`:       {Remove: []string{"/"}},
		`provisioning: path "/a\nremove /b" has characters that are not allowed`:   {Workdir: "/a\nremove /b"},
		`provisioning: path "/a\n" has characters that are not allowed`:            {Remove: []string{"/a\n"}},
		`provisioning: path "x": want an absolute path without dot segments`:       {Trust: []provision.Certificate{{File: "x"}}},
		`provisioning: /x: mode urwxr-xr-x is not allowed`:                         {Files: []provision.File{{Path: "/x", Mode: fs.ModeSetuid | 0o755}}},
		`provisioning: /x: mode L--------- is not allowed`:                         {Files: []provision.File{{Path: "/x", Mode: fs.ModeSymlink}}},
	} {
		g := newGuest(t)
		if err := provision.Apply(t.Context(), g, r); fmt.Sprint(err) != want || len(g.archives) != 0 {
			t.Errorf("%v after %d calls, want %s", err, len(g.archives), want)
		}
	}
}
