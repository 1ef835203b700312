//go:build integration

package chain

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bottle.internal/internal/execx"
)

// work is a clone behind the gate, with the person's own git.
type work struct {
	t   *testing.T
	b   *bottle
	dir string
	url string
}

// git runs git as an agent would, with no configuration of this machine. The gate answers
// to the agent's address of it alone, and here it is at another one.
func (w *work) git(args ...string) (said string, err error) {
	var out journal
	err = execx.Run(w.t.Context(), execx.Cmd{
		Path: "git", Dir: w.dir, Stdout: &out, Stderr: &out,
		Args: append([]string{"-c", "http.extraHeader=Host: 127.0.0.1:9420", "-c", "user.name=Agent", "-c", "user.email=agent@bottle.test"}, args...),
		Env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_TERMINAL_PROMPT=0", "no_proxy=127.0.0.1",
		},
	})
	return out.String(), err
}

func (w *work) must(args ...string) string {
	w.t.Helper()
	said, err := w.git(args...)
	if err != nil {
		w.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, said)
	}
	return strings.TrimSpace(said)
}

// commit adds a file and returns the commit's name.
func (w *work) commit(name, text string) string {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.must("add", name)
	w.must("commit", "--quiet", "-m", "Add "+name)
	return w.must("rev-parse", "HEAD")
}

// refused expects a push to fail for a reason, with nothing of it at the upstream.
func (w *work) refused(reason, commit string, args ...string) {
	w.t.Helper()
	before := w.b.upstreamRefs(w.t)
	said, err := w.git(append([]string{"push"}, args...)...)
	if err == nil || !strings.Contains(said, reason) {
		w.t.Errorf("push %s: %v: %s\nwant %q", strings.Join(args, " "), err, said, reason)
	}
	if after := w.b.upstreamRefs(w.t); after != before {
		w.t.Errorf("push %s: the upstream had\n%sand has\n%s", strings.Join(args, " "), before, after)
	}
	if commit != "" && w.b.upstreamHas(w.t, commit) {
		w.t.Errorf("push %s: the upstream has %s", strings.Join(args, " "), commit)
	}
}

// upstreamRefs asks the echo's repository itself, past the gate.
func (b *bottle) upstreamRefs(t *testing.T) string {
	t.Helper()
	return b.exec(t, b.echoContainer(), "65534", "sh", "-c", "git ls-remote /tmp/git*/app.git")
}

func (b *bottle) upstreamHas(t *testing.T, commit string) bool {
	t.Helper()
	return b.exec(t, b.echoContainer(), "65534", "sh", "-c", "git -C /tmp/git*/app.git cat-file -t "+commit) == "commit\n"
}

func (b *bottle) clone(t *testing.T) *work {
	t.Helper()
	w := &work{t: t, b: b, dir: t.TempDir(), url: "http://" + b.forward(t, portGit) + "/app.git"}
	w.must("clone", "--quiet", w.url, ".")
	return w
}

func TestGit(t *testing.T) {
	b := start(t)
	w := b.clone(t)
	if text, err := os.ReadFile(filepath.Join(w.dir, "README.md")); err != nil || !strings.Contains(string(text), "behind the git gate") {
		t.Fatalf("the clone: %q, %v", text, err)
	}
	branch := "bottle/" + b.plan.Identity + "/topic"
	w.must("checkout", "--quiet", "-b", branch)
	clean := w.commit("a.txt", "nothing to see\n")
	w.must("push", "--quiet", "origin", branch)
	if refs := b.upstreamRefs(t); !strings.Contains(refs, clean+"\trefs/heads/"+branch+"\n") || !b.upstreamHas(t, clean) {
		t.Fatalf("the control: the clean push did not arrive: %s", refs)
	}

	found := w.commit("b.txt", "key = \"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"+
		"QyNTUxOQAAACBx7lyZ4V4sS0V6ZLWq6ZrJVbY3kq4bWnZ1r3bD9qk3XwAAAJgq0cXqKtHF\n-----END OPENSSH PRIVATE KEY-----\"\n")
	w.refused("rule private-key", found, "origin", branch)
	w.must("rm", "--quiet", "b.txt")
	w.must("commit", "--quiet", "-m", "Take it out again")
	w.refused("rule private-key", found, "origin", branch) // it is in the history
	w.must("reset", "--quiet", "--hard", clean)

	next := w.commit("c.txt", "more\n")
	w.refused("only branches bottle/"+b.plan.Identity+"/* may be pushed", next, "origin", "HEAD:refs/heads/main")
	w.refused("tags are not allowed", next, "origin", "HEAD:refs/tags/v1")
	w.refused("only branches", next, "origin", "HEAD:refs/heads/bottle/somebody-else/topic")
	w.must("checkout", "--quiet", "-B", branch, clean+"~1")
	rewritten := w.commit("d.txt", "another past\n")
	w.refused("force is not allowed", rewritten, "--force", "origin", branch)
	w.refused("remote rejected", "", "origin", ":"+branch)

	w.must("checkout", "--quiet", "-B", branch, clean)
	w.commit("e.txt", "the end\n")
	w.must("push", "--quiet", "origin", branch) // it still works
}

// An upstream that is gone is said so, soon and in words.
func TestGitUpstreamGone(t *testing.T) {
	b := start(t)
	w := b.clone(t)
	branch := "bottle/" + b.plan.Identity + "/topic"
	w.must("checkout", "--quiet", "-b", branch)
	w.commit("a.txt", "nothing to see\n")
	now := 0
	if _, err := b.engine.ContainerStop(t.Context(), b.echoContainer(), client.ContainerStopOptions{Timeout: &now}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"push", "origin", branch}, {"fetch", "origin"}} {
		begin := time.Now()
		said, err := w.git(args...)
		took := time.Since(begin)
		t.Logf("git %s after %v: %v: %s", args[0], took.Round(time.Millisecond), err, said)
		if err == nil || took > 20*time.Second {
			t.Errorf("git %s: %v after %v", args[0], err, took)
		}
		if !strings.Contains(said, "git.bottle.test") {
			t.Errorf("git %s does not say what is wrong: %s", args[0], said)
		}
	}
}
