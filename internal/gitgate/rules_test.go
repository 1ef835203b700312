package gitgate

import (
	"fmt"
	"strings"
	"testing"

	"bottle.internal/internal/gitgate/pushscan/pushscantest"
)

// What a push may ask for, before any object is looked at.
func TestRulesOfRefs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	dir := w.clone("one")
	first := w.commit(dir, "a", "1")
	w.must(dir, "push", "-q", "origin", "HEAD")
	w.must(dir, "tag", "v1")
	w.must(dir, "tag", "-a", "-m", "x", "bottle-v2")

	w.refused(dir, "only branches bottle/* may be pushed", "origin", "HEAD:main")
	w.refused(dir, "only branches bottle/* may be pushed", "origin", "HEAD:refs/heads/other/x")
	w.refused(dir, "only branches bottle/* may be pushed", "origin", "HEAD:refs/heads/bottle/deep/er")
	w.refused(dir, "only branches bottle/* may be pushed", "origin", "HEAD:refs/notes/x")
	w.refused(dir, "only branches bottle/* may be pushed", "origin", "HEAD:refs/for/main")
	w.refused(dir, "tags are not allowed", "origin", "v1")
	w.refused(dir, "tags are not allowed", "origin", "HEAD", "--tags")
	w.refused(dir, "its new value is not a commit", "origin", "bottle-v2:refs/heads/bottle/tag")
	w.refused(dir, "[remote rejected] bottle/one", "origin", ":bottle/one")
	w.refused(dir, "does not support push options", "-o", "x", "origin", "HEAD:bottle/options")
	w.refused(dir, "its name has characters that are not allowed", "origin", "HEAD:refs/heads/bottle/ä")

	// One bad ref refuses all.
	w.refused(dir, "not taken because another ref was refused", "origin", "HEAD:bottle/two", "HEAD:main")
	var many []string
	for i := range 21 {
		many = append(many, fmt.Sprintf("HEAD:bottle/many%d", i))
	}
	w.refused(dir, "21 refs, at most 20 are allowed", append([]string{"origin"}, many...)...)
	w.must(dir, append([]string{"push", "-q", "origin"}, many[1:]...)...)
	if w.head("refs/heads/bottle/many20") != first {
		t.Error("20 refs are not at the upstream")
	}

	// Force.
	w.must(dir, "reset", "-q", "--hard", "HEAD^")
	w.commit(dir, "a", "2")
	w.refused(dir, "it is not a fast-forward", "--force", "origin", "HEAD:bottle/one")

	// A branch that moved at the upstream.
	w.must(w.upstream, "update-ref", "refs/heads/bottle/one", "main")
	w.must(dir, "reset", "-q", "--hard", first)
	w.commit(dir, "a", "3")
	w.refused(dir, "fetch first", "origin", "HEAD:bottle/one")

	shallow := w.dir + "/shallow"
	w.must("", "clone", "-q", "--depth=1", "file://"+w.upstream, shallow)
	w.must(shallow, "remote", "set-url", "origin", w.url)
	w.must(shallow, "fetch", "-q", "--depth=1")
	w.commit(shallow, "b", "1")
	w.refused(shallow, "a shallow clone cannot push", "origin", "HEAD:bottle/shallow")
	for _, l := range w.events(eventPushDeny) {
		if l.Rule == "" || len(l.Refs) == 0 || l.Remote != "app" {
			t.Errorf("a line without rule, refs or remote: %+v", l)
		}
	}
}

// A new branch is judged by its new commits alone: an old secret of the upstream does not
// block it.
func TestOldSecretsDoNotBlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	w.commit(w.dir+"/seed", "old.txt", pushscantest.Token())
	w.must(w.dir+"/seed", "push", "-q", w.upstream, "HEAD:refs/heads/main")
	dir := w.clone("one")
	w.commit(dir, "a", "1")
	w.must(dir, "push", "-q", "origin", "HEAD")
	allowed := w.events(eventPushAllow)
	if len(allowed) != 1 || *allowed[0].Commits != 1 {
		t.Errorf("allowed: %+v", allowed)
	}
	// A branch at a commit that the upstream has needs no object at all.
	w.must(dir, "push", "-q", "origin", "origin/main:refs/heads/bottle/same")
}

func TestDefaultBranchAndPrune(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	w.must(w.upstream, "branch", "trunk", "main")
	first := w.clone("one")
	if got := w.must(first, "symbolic-ref", "refs/remotes/origin/HEAD"); got != "refs/remotes/origin/main" {
		t.Errorf("HEAD is %s", got)
	}
	w.must(w.upstream, "symbolic-ref", "HEAD", "refs/heads/trunk")
	w.must(w.upstream, "branch", "-D", "main")
	w.restart()
	second := w.clone("two")
	if got := w.must(second, "symbolic-ref", "refs/remotes/origin/HEAD"); got != "refs/remotes/origin/trunk" {
		t.Errorf("HEAD is %s", got)
	}
	if out := w.must(second, "branch", "-r"); strings.Contains(out, "origin/main") {
		t.Errorf("a deleted branch is still there:\n%s", out)
	}
}

// restart ends the gate and starts it again over the same state.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

// An empty upstream can be cloned and gets its first branch.
func TestEmptyUpstream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	dir := w.clone("one")
	commit := w.commit(dir, "a", "1")
	w.must(dir, "push", "-q", "origin", "HEAD:bottle/first")
	if w.head("refs/heads/bottle/first") != commit {
		t.Error("it is not at the upstream")
	}
}
