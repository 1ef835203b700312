package gitgate

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"bottle.internal/internal/gitgate/pushscan/pushscantest"
)

// halfPush announces more than it sends and hangs up with ctx.
func (w *world) halfPush(ctx context.Context, body string) {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "POST /app.git/git-receive-pack HTTP/1.1\r\nHost: "+w.addr+
		"\r\nContent-Type: application/x-git-receive-pack-request\r\nContent-Length: 1000000\r\n\r\n"+body)
	<-ctx.Done()
	_ = conn.Close()
}

// Pushed hooks, configuration, attributes and submodules with URLs that run programs are
// content to the gate: nothing of it runs, here or when it is fetched again.
func TestPushedContentRunsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *Config) { c.Remotes[0].Protect = []string{} })
	w.seed()
	mark := w.dir + "/ran"
	dir := w.clone("one")
	for _, name := range []string{"hooks/pre-receive", "hooks/post-checkout", "sub/hooks/pre-push"} {
		write(t, filepath.Join(dir, name), "#!/bin/sh\ntouch "+mark+"\n")
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir+"/config", "[core]\n\tfsmonitor = touch "+mark+"\n\tsshCommand = touch "+mark+"\n\tbare = true\n[uploadpack]\n\tpackObjectsHook = touch "+mark+"\n")
	write(t, dir+"/HEAD", "ref: refs/heads/main\n")
	write(t, dir+"/.gitattributes", "* filter=x diff=x merge=x\n")
	write(t, dir+"/.gitconfig", "[filter \"x\"]\n\tclean = touch "+mark+"\n")
	w.commit(dir, "z", "z")
	w.must(dir, "push", "-q", "origin", "HEAD")
	w.clone("two")
	if _, err := os.Stat(mark); err == nil {
		t.Error("something that was pushed ran")
	}
}

// git itself refuses these in .gitmodules, as soon as they are unpacked.
func TestModulesThatRunPrograms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ *world, c *Config) { c.Remotes[0].Protect = []string{} })
	w.seed()
	for name, text := range map[string]string{
		"option-url":  "[submodule \"x\"]\n\tpath = x\n\turl = --upload-pack=touch\n",
		"option-path": "[submodule \"x\"]\n\tpath = --x\n\turl = https://example.com/x\n",
		"name":        "[submodule \"../../x\"]\n\tpath = x\n\turl = https://example.com/x\n",
		"update":      "[submodule \"x\"]\n\tpath = x\n\turl = https://example.com/x\n\tupdate = !touch x\n",
	} {
		dir := w.clone(name)
		w.commit(dir, ".gitmodules", text)
		w.refused(dir, "the pack is not well-formed", "origin", "HEAD")
	}
}

// Trees that a checkout would be hurt by are refused as well.
func TestMaliciousTrees(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	dir := w.clone("one")
	blob := w.must(dir, "rev-parse", "HEAD:README.md")
	raw := func(name string) string {
		oid := make([]byte, 20)
		for i := range oid {
			var b byte
			for _, c := range []byte(blob[2*i : 2*i+2]) {
				b = b<<4 | byte(strings.IndexByte("0123456789abcdef", c))
			}
			oid[i] = b
		}
		write(t, dir+"/../tree", "100644 "+name+"\x00"+string(oid))
		tree := w.must(dir, "hash-object", "-t", "tree", "-w", "--literally", "../tree")
		return w.must(dir, "commit-tree", "-m", "x", "-p", "HEAD", tree)
	}
	for _, name := range []string{".git", ".GIT", "..", ".git\u200c", "git~1", "a/b"} {
		w.refused(dir, "the pack is not well-formed", "origin", raw(name)+":refs/heads/bottle/tree")
	}
}

// The gate's own git knows no transport but ssh, whatever is asked of it.
func TestNoOtherTransport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	gate, err := New(Options{Channel: w.channel, StateDir: w.dir + "/s2", RunDir: w.dir + "/r2"})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"ext::sh -c 'touch " + w.dir + "/ran'", "file://" + w.upstream, w.upstream, "http://127.0.0.1:1/x", "git://127.0.0.1/x", "fd::3"} {
		err := gate.git(t.Context(), gitRun{args: []string{"ls-remote", "--", url}})
		if err == nil || !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := os.Stat(w.dir + "/ran"); err == nil {
		t.Error("a program ran")
	}
}

// What git is told by its caller's surroundings does not reach the gate's git.
func TestEnvironmentIsWhole(t *testing.T) {
	t.Setenv("GIT_DIR", "/nonexistent")
	t.Setenv("GIT_SSH_COMMAND", "touch /nonexistent")
	t.Setenv("GIT_CONFIG_PARAMETERS", "'core.fsmonitor=touch x'")
	w := newWorld(t, nil)
	w.seed()
	dir := w.clone("one")
	w.commit(dir, "a", "1")
	w.must(dir, "push", "-q", "origin", "HEAD")
}

// A replace ref of the upstream does not hide an object from the scan.
func TestReplaceRefsAreIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	dir := w.clone("one")
	secret := pushscantest.Token()
	w.commit(dir, "a", secret)
	bad := w.must(dir, "rev-parse", "HEAD:a")
	// The mirror is made to hold a replacement, as a hostile upstream's could.
	mirror := w.options.StateDir + "/mirrors/app.git"
	good := w.must(mirror, "rev-parse", "main:README.md")
	w.must(mirror, "update-ref", "refs/replace/"+bad, good)
	w.refused(dir, "rule github-pat", "origin", "HEAD")
}

func TestLimitsOfGit(t *testing.T) {
	t.Parallel()
	for goos, want := range map[string]string{
		"linux": "ulimit -c 0 && ulimit -v 4194304 && ulimit -t 600 && ", "darwin": "",
	} {
		if got := gitLimits(goos); got != want {
			t.Errorf("%s: %q, want %q", goos, got, want)
		}
	}
}

// The limits of a git process are in force before it reads a byte.
func TestResourcesOfGit(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the limits are those of Linux")
	}
	dir := t.TempDir()
	gate, err := New(Options{StateDir: dir + "/s", RunDir: dir + "/r", Git: "/bin/sh"})
	if err != nil {
		t.Fatal(err)
	}
	out, err := gate.gitOutput(t.Context(), gitRun{args: []string{"-c", "ulimit -c; ulimit -v; ulimit -t"}}, 1000)
	if want := "0\n4194304\n600\n"; string(out) != want || err != nil {
		t.Errorf("limits %q, %v, want %q", out, err, want)
	}
}

// What a repository sets of its own counts for nothing: git itself is asked what holds.
func TestOwnSettingsOfGitComeFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gate, err := New(Options{StateDir: dir + "/s", RunDir: dir + "/r", Git: "git"})
	if err != nil {
		t.Fatal(err)
	}
	repository := dir + "/mirror.git"
	ask := func(args ...string) string {
		t.Helper()
		out, err := gate.gitOutput(t.Context(), gitRun{dir: repository, args: args}, 1000)
		if err != nil {
			t.Errorf("git %s: %v", strings.Join(args, " "), err)
		}
		return strings.TrimSuffix(string(out), "\n")
	}
	ask("init", "--quiet", "--bare", repository)
	for setting, want := range map[string]string{
		"attr.tree": emptyTree, "core.attributesFile": "/dev/null", "core.hooksPath": "/dev/null", "core.fsmonitor": "false",
		"protocol.allow": "never", "safe.bareRepository": "explicit", "credential.helper": "",
		"receive.fsckObjects": "true", "transfer.fsckObjects": "true", "fetch.fsckObjects": "true",
		"uploadpack.allowAnySHA1InWant": "false", "fetch.uriProtocols": "", "transfer.bundleURI": "false",
	} {
		ask("config", "--local", setting, "/somewhere/else")
		if got := ask("config", "--get", setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
}
