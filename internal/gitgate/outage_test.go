package gitgate

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/program"
	"bottle.internal/tests/sshd"
)

// Nothing listens at the upstream any more: fetch and push fail closed and say why.
func TestUpstreamDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	dir := w.clone("one")
	w.commit(dir, "a", "1")
	w.options.DialCommand[1] = dialEnv + "=" + fakenet.FreeAddr(t)
	w.restart()
	w.must(dir, "remote", "set-url", "origin", w.url)
	out, err := w.run(dir, "fetch")
	if want := `remote error: git-gate: upstream of "app" (upstream.test:`; err == nil || !strings.Contains(out, want) || !strings.Contains(out, "cannot be reached: connecting to upstream.test:") {
		t.Errorf("fetch: %v, want %q in\n%s", err, want, out)
	}
	w.refused(dir, `remote error: git-gate: upstream of "app"`, "origin", "HEAD")
}

// An upstream that accepts and says nothing is given up.
func TestUpstreamSilent(t *testing.T) {
	t.Parallel()
	listener := fakenet.Listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	fakenet.Serve(t, listener, func(net.Conn) { <-ctx.Done() })
	t.Cleanup(cancel)
	w := newWorld(t, func(w *world, _ *Config) {
		w.options.DialCommand[1] = dialEnv + "=" + listener.Addr().String()
		w.options.AnswerTime = time.Second
	})
	out, err := w.run("", "ls-remote", w.url)
	if err == nil || !strings.Contains(out, "remote error: git-gate: upstream of \"app\"") {
		t.Errorf("ls-remote: %v\n%s", err, out)
	}
	if answerTime >= 5*time.Second {
		t.Errorf("the daemon waits %v", answerTime)
	}
}

// A failure is remembered for 2 s: an agent that retries does not knock at the upstream.
func TestRefreshIsShared(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	w := newWorld(t, func(w *world, _ *Config) {
		w.options.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	w.seed()
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			if out, err := w.run("", "ls-remote", w.url); err != nil {
				t.Errorf("ls-remote: %v\n%s", err, out)
			}
		})
	}
	all.Wait()
	w.must("", "ls-remote", w.url)
	if n := len(w.events(eventRefresh)); n != 1 {
		t.Errorf("%d refreshes for six fetches and one after them", n)
	}
	mu.Lock()
	now = now.Add(3 * time.Second)
	mu.Unlock()
	w.must("", "ls-remote", w.url)
	if n := len(w.events(eventRefresh)); n != 2 {
		t.Errorf("%d refreshes after three seconds, want 2", n)
	}
}

// The wrong pinned key: nothing is asked for, nothing is sent, no key is offered.
func TestWrongHostKey(t *testing.T) {
	t.Parallel()
	_, other := sshd.NewKey(t)
	w := newWorld(t, func(w *world, c *Config) {
		host, _, _ := strings.Cut(w.spec.KnownHostKey, " ")
		w.spec.KnownHostKey = host + " " + other
		c.Remotes[0] = w.spec
	})
	w.seed()
	out, err := w.run("", "clone", w.url, w.dir+"/x")
	if err == nil || !strings.Contains(out, "its host key is not the pinned one (known_host_key); nothing was sent") {
		t.Errorf("clone: %v\n%s", err, out)
	}
}

// The upstream refuses the push: the agent sees the words of its hook, and nothing is left.
func TestUpstreamRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	w.hook("pre-receive", "#!/bin/sh\necho not today\nexit 1\n")
	dir := w.clone("one")
	w.commit(dir, "a", "1")
	w.refused(dir, "the upstream refused it: [remote rejected] (pre-receive hook declined)", "origin", "HEAD")
	w.refused(dir, "the upstream says: not today", "origin", "HEAD")
}

// hook is a program that the upstream runs.
func (w *world) hook(name, script string) {
	w.t.Helper()
	if err := os.MkdirAll(w.upstream+"/hooks", 0o700); err != nil {
		w.t.Fatal(err)
	}
	program.Write(w.t, w.upstream+"/hooks/"+name, script)
}

// One of two refs is refused by the upstream: none is taken.
func TestAllOrNothingUpstream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	dir := w.clone("one")
	w.commit(dir, "a", "1")
	w.must(dir, "push", "-q", "origin", "HEAD:bottle/x", "HEAD:bottle/y")
	w.hook("update", "#!/bin/sh\ntest $1 != refs/heads/bottle/y\n")
	w.commit(dir, "a", "2")
	w.refused(dir, "[remote rejected]", "origin", "HEAD:bottle/x", "HEAD:bottle/y")
}

func TestConcurrentPushes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	dirs := []string{w.clone("a"), w.clone("b"), w.clone("c"), w.clone("d")}
	var all sync.WaitGroup
	for _, dir := range dirs {
		w.commit(dir, "f", dir)
		all.Go(func() {
			if out, err := w.run(dir, "push", "-q", "origin", "HEAD"); err != nil {
				t.Errorf("push: %v\n%s", err, out)
			}
		})
	}
	all.Wait()
	for _, name := range []string{"a", "b", "c", "d"} {
		if w.head("refs/heads/bottle/"+name) == "" {
			t.Errorf("bottle/%s is not there", name)
		}
	}
}

// What a killed gate left is gone after the next start, and nothing of it is served.
func TestQuarantineOfAKilledGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	w.clone("one")
	w.stop()
	write(t, w.options.StateDir+"/quarantine/push-dead/pack/tmp_pack_x", "rest")
	w.start()
	if left, _ := os.ReadDir(w.options.StateDir + "/quarantine"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// A bottle whose remote now has another upstream never serves the old one's objects.
func TestAnotherUpstream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	w.clone("one")
	next := w.spec
	next.Path = w.dir + "/upstream/other.git"
	w.must("", "init", "-q", "--bare", "-b", "main", next.Path)
	w.channel.inputs <- inputs(t, Config{Remotes: []Remote{next}})
	w.await(eventReload)
	if out := w.must("", "ls-remote", w.url); out != "" {
		t.Errorf("ls-remote says\n%s", out)
	}
}

// A configuration that is not understood leaves the old one in force.
func TestBadReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	bad := inputs(t, Config{Remotes: []Remote{w.spec}})
	delete(bad, ConfigFile)
	w.channel.inputs <- bad
	if l := w.await(eventReload); l.Problem != "there is no gitgate.json" {
		t.Errorf("reload: %+v", l)
	}
	w.clone("one")
}

// await waits for a line of the log.
func (w *world) await(event string) line {
	w.t.Helper()
	w.log.Await(w.t, event, nil)
	return w.events(event)[0]
}
