//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bottle.internal/tests/integration/rig"
)

// workspaceManifest has an agent that works on what was copied in, and one that waits.
const workspaceManifest = `
[bottles.small]
resources = { memory = "512MiB", cpus = 1 }

[agents.it-work]
bottle = "small"
template = "shell"
command = ["/bin/sh", "-ec", "git status --short; git log --format=%s; git branch --show-current; git remote get-url origin; id -un; find many -type f -print0 | xargs -0 sed -i s/old/new/; find many -type f -size +0 | wc -l; rm gone; printf 'made\n' >'new\nfile'; printf '#!/bin/sh\n' >run; chmod +x run; ln -s /etc/passwd out; mkdir -p .git/hooks sub/.git; touch .git/hooks/post-checkout sub/.git/config; exit 7"]

[agents.it-wait]
bottle = "small"
template = "shell"
command = ["/bin/sh", "-ec", "echo guest >both; echo guest >mine; printf 'the agent is %s\\n' up; exec sleep 86399"]
`

// manyFiles is what a slow machine carries in a minute; BOTTLE_SLOW=1 makes it ten thousand.
func manyFiles() int {
	if os.Getenv("BOTTLE_SLOW") != "" {
		return 10_000
	}
	return 1000
}

// project is a repository with a change that is not committed.
func project(t *testing.T, many int) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a", "a\n")
	write("gone", "gone\n")
	write("both", "base\n")
	write("mine", "base\n")
	write(".env", "SECRET=1\n")
	for i := range many {
		write(fmt.Sprintf("many/%d/\xff%d\n", i%50, i), fmt.Sprintf("old %d\n", i))
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "topic"},
		{"add", "-A"},
		{"-c", "user.name=a", "-c", "user.email=a@bottle.test", "commit", "-q", "-m", "the first"},
		{"remote", "add", "origin", "https://user:secret@git.bottle.test/x.git"},
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
	}
	write("a", "wip\n")
	return dir
}

func (w *world) ownManifest(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "w.toml")
	if err := os.WriteFile(path, []byte(workspaceManifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func text(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// A thousand files go in and come back changed, by way of a real machine.
func TestWorkspace(t *testing.T) {
	w := setup(t)
	many := manyFiles()
	dir := project(t, many)
	p, err := w.start(nil, "start", "it-work", "--manifest", w.ownManifest(t), "--yes", "--rm", "--copy-in", dir, "--copy-out")
	if err != nil {
		t.Fatal(err)
	}
	w.endWith(t, "it-work", p)
	if code := p.end(t, 9*time.Minute); code != 7 {
		t.Fatalf("exit %d, want the agent's 7:\n%s", code, p)
	}
	stdout := p.stdout.String()
	if want := fmt.Sprintf(" M a\nthe first\ntopic\nhttps://git.bottle.test/x.git\nagent\n%d\n", 2*many); !strings.HasPrefix(stdout, want) {
		// a name with a newline is two lines for wc
		t.Errorf("the agent saw %.300q, want %q", stdout, want)
	}
	for i := range many {
		if got := text(t, dir, fmt.Sprintf("many/%d/\xff%d\n", i%50, i)); got != fmt.Sprintf("new %d\n", i) {
			t.Fatalf("file %d: %q", i, got)
		}
	}
	for name, want := range map[string]string{
		"a": "wip\n", "new\nfile": "made\n", ".env": "SECRET=1\n", "both": "base\n",
	} {
		if got := text(t, dir, name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"gone", "run", "out", ".git/hooks/post-checkout", "sub", ".bottle-apply"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	if !strings.Contains(p.stderr.String(), fmt.Sprintf("%d applied to ", many+2)) || !strings.Contains(stdout, "[REFUSED: a link to an absolute path]") {
		t.Errorf("%s", p.stderr.String())
	}
	t.Log(lines(p.stderr.String(), "copy-"))
	w.noneLeft(t, "it-work")
}

func lines(text, prefix string) string {
	var found strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			found.WriteString(line)
		}
	}
	return found.String()
}

// A running bottle is copied out of by another process, beside what the host does.
func TestCopyOutOfARunningBottle(t *testing.T) {
	w := setup(t)
	dir := project(t, 0)
	p, err := w.start(nil, "start", "it-wait", "--manifest", w.ownManifest(t), "--yes", "--rm", "--copy-in", dir)
	if err != nil {
		t.Fatal(err)
	}
	w.endWith(t, "it-wait", p)
	p.said(t, "the agent is up")
	id := rig.Identity(p.stderr.String())
	if err := os.WriteFile(filepath.Join(dir, "both"), []byte("host\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var report struct {
		Changes []struct{ Path, Conflict string }
	}
	if err := json.Unmarshal([]byte(w.good(t, "copy-out", id, "--dry-run", "--format=json").Stdout), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Changes) != 2 || report.Changes[0].Conflict != "changed on the host meanwhile" || report.Changes[1].Conflict != "" {
		t.Errorf("%+v", report)
	}
	if result := w.bottle(t, "copy-out", id, "--yes"); result.Code != 1 || !strings.Contains(result.Stderr, "nothing was written\nbottle:          both\n") || text(t, dir, "mine") != "base\n" {
		t.Errorf("%s, mine is %q", result, text(t, dir, "mine"))
	}
	w.good(t, "copy-out", id, "--yes", "--skip-conflicts")
	if text(t, dir, "both") != "host\n" || text(t, dir, "mine") != "guest\n" {
		t.Errorf("both %q, mine %q", text(t, dir, "both"), text(t, dir, "mine"))
	}
	other := t.TempDir()
	w.good(t, "copy-out", id, other, "--yes")
	if text(t, other, "both") != "guest\n" {
		t.Errorf("elsewhere: %q", text(t, other, "both"))
	}
	if err := p.group(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.end(t, time.Minute); code != 130 {
		t.Errorf("exit %d", code)
	}
	w.noneLeft(t, "it-wait")
}
