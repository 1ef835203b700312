package provision_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"bottle.internal/pkg/provision"
)

func apply(t *testing.T, g *fakeGuest, in provision.Input) {
	t.Helper()
	if err := provision.Apply(t.Context(), g, render(t, in)); err != nil {
		t.Fatal(err)
	}
}

// tree lists what is in the guest, with modes and contents.
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
		fmt.Fprintf(&listing, "%s %s %q\n", info.Mode(), strings.TrimPrefix(name, g.root), content)
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
		"home/agent/.codex/AGENTS.md":                     {0o600, "Be kind.\n"},
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
	if len(g.calls) != 2 {
		t.Errorf("%d calls, want 2", len(g.calls))
	}
	for _, call := range g.calls {
		if strings.Contains(strings.Join(call.Command, " "), "hunter2") {
			t.Errorf("a value is on a command line: %q", call.Command)
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

func TestHundredFilesCostOneTarAndOneCommand(t *testing.T) {
	t.Parallel()
	skill := fstest.MapFS{}
	for i := range 100 {
		skill[fmt.Sprintf("dir%d/file%d", i%7, i)] = &fstest.MapFile{Data: []byte("x")}
	}
	g := newGuest(t)
	apply(t, g, provision.Input{Skills: []provision.Skill{{Name: "big", FS: skill}}})
	var commands []string
	for _, call := range g.calls {
		commands = append(commands, call.Command[0]+" "+call.Command[1])
	}
	if want := []string{"sh -c", "sh -c"}; !slices.Equal(commands, want) || len(g.stdin[0]) == 0 || len(g.stdin[1]) != 0 {
		t.Errorf("calls: %q", commands)
	}
	if text := g.read(t, "home/agent/.claude/skills/big/dir1/file99"); text != "x" {
		t.Errorf("the last file: %q", text)
	}
}

func TestPlainTarAndNoCommand(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	err := provision.Apply(t.Context(), g, provision.Rendered{
		Files: []provision.File{{Path: "/home/agent/a/b", Mode: 0o640, Data: []byte("x")}},
	})
	if err != nil || len(g.calls) != 1 || strings.Join(g.calls[0].Command, " ") != "tar -x -p -m -f - -C /" {
		t.Errorf("%v, %+v", err, g.calls)
	}
	if g.read(t, "home/agent/a/b") != "x" {
		t.Error("no file")
	}
}

func TestSameInputSameTar(t *testing.T) {
	t.Parallel()
	var tars [][]byte
	for range 2 {
		g := newGuest(t)
		apply(t, g, everything(t))
		tars = append(tars, g.stdin[0])
	}
	if !bytes.Equal(tars[0], tars[1]) {
		t.Error("two tars differ")
	}
}

func TestWorkdirElsewhere(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.write(t, "stubs/chown", "#!/bin/sh\necho \"$@\" > "+g.path("chowned")+"\n", 0o755)
	apply(t, g, provision.Input{Workdir: "/srv/it's here"})
	if want := fmt.Sprintf("1000:1000 -- %s\n", g.path("srv/it's here")); g.read(t, "chowned") != want {
		t.Errorf("chown %q", g.read(t, "chowned"))
	}
	if err := os.Remove(g.path("chowned")); err != nil {
		t.Fatal(err)
	}
	apply(t, g, provision.Input{Workdir: "/srv/it's here"})
	if _, err := os.Stat(g.path("chowned")); err == nil {
		t.Error("a directory that existed got another owner")
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
		{"tar fails", func(g *fakeGuest) {
			g.write(t, "stubs/tar", "#!/bin/sh\nprintf 'tar: \\033[31mno space\\nleft\\n' >&2; exit 2\n", 0o755)
		}, "provisioning files: the guest ended with status 2: tar: ?[31mno space; left"},
		{"tar is killed twice", func(g *fakeGuest) {
			g.answer = func(int) (int, error, bool) { return 137, nil, true }
		}, "provisioning files: the guest ended with status 137"},
		{"the machine is gone", func(g *fakeGuest) {
			g.answer = func(int) (int, error, bool) { return 1, errors.New("vm not found: x"), true }
		}, "provisioning files: vm not found: x"},
		{"gone before the command", func(g *fakeGuest) {
			g.answer = func(call int) (int, error, bool) { return 1, errors.New("vm not found: x"), call == 2 }
		}, "provisioning: vm not found: x"},
		{"a link cannot be made", func(g *fakeGuest) {
			g.write(t, "stubs/ln", "#!/bin/sh\necho broken >&2; exit 1\n", 0o755)
		}, "provisioning ca: the guest ended with status 101: broken"},
		{"the bundle does not take the certificate", func(g *fakeGuest) {
			bundle := g.path("etc/ssl/certs/ca-certificates.crt")
			if err := errors.Join(os.Remove(bundle), os.Symlink("/dev/null", bundle)); err != nil {
				t.Fatal(err)
			}
		}, "provisioning ca: the guest ended with status 101: " +
			"ROOT/usr/local/share/ca-certificates/bottle-9c59c24e5d26b91d.crt did not get into ROOT/etc/ssl/certs/ca-certificates.crt"},
		{"the ready file cannot be written", func(g *fakeGuest) {
			g.write(t, "stubs/ln", "#!/bin/sh\nmkdir -p "+g.path("run/bottle/ready")+"\n", 0o755)
		}, "provisioning ready: the guest ended with status 107: ..."},
		{"an unknown status", func(g *fakeGuest) {
			g.answer = func(call int) (int, error, bool) { return 3, nil, call == 2 }
		}, "provisioning command: the guest ended with status 3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := newGuest(t)
			test.change(g)
			err := provision.Apply(t.Context(), g, render(t, in))
			got := strings.ReplaceAll(fmt.Sprint(err), g.root, "ROOT")
			prefix, open := strings.CutSuffix(test.want, "...") // the shell's own words differ
			if got != test.want && (!open || !strings.HasPrefix(got, prefix)) {
				t.Errorf("\n got %s\nwant %s", got, test.want)
			}
			if _, err := os.Stat(g.path("run/bottle/ready")); err == nil && !strings.Contains(test.want, "ready:") {
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
		g.answer = func(call int) (int, error, bool) { return 137, killed, call == 1 || call == 3 }
		apply(t, g, everything(t))
		if len(g.calls) != 4 || !bytes.Equal(g.stdin[0], g.stdin[1]) {
			t.Errorf("%d calls; tars of %d and %d bytes", len(g.calls), len(g.stdin[0]), len(g.stdin[1]))
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
	if err := provision.Apply(ctx, g, render(t, provision.Input{})); !errors.Is(err, context.Canceled) || len(g.calls) != 1 {
		t.Errorf("%v after %d calls", err, len(g.calls))
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
		`provisioning: /x: mode urwxr-xr-x is not allowed`:                         {Files: []provision.File{{Path: "/x", Mode: fs.ModeSetuid | 0o755}}},
		`provisioning: /x: mode L--------- is not allowed`:                         {Files: []provision.File{{Path: "/x", Mode: fs.ModeSymlink}}},
	} {
		g := newGuest(t)
		if err := provision.Apply(t.Context(), g, r); fmt.Sprint(err) != want || len(g.calls) != 0 {
			t.Errorf("%v after %d calls, want %s", err, len(g.calls), want)
		}
	}
}
