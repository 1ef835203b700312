package gitgate

import (
	"testing"
)

func TestCloneFetchPush(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seed()
	dir := w.clone("one")
	commit := w.commit(dir, "a.txt", "a\n")
	w.must(dir, "push", "origin", "HEAD")
	if got := w.head("refs/heads/bottle/one"); got != commit {
		t.Errorf("the upstream has %q, want %q", got, commit)
	}
	next := w.commit(dir, "a.txt", "b\n")
	w.must(dir, "push", "-q", "origin", "HEAD")
	if got := w.head("refs/heads/bottle/one"); got != next {
		t.Errorf("the upstream has %q, want %q", got, next)
	}
	other := w.clone("two")
	if got := w.must(other, "rev-parse", "origin/bottle/one"); got != next {
		t.Errorf("a clone has %q, want %q", got, next)
	}
}
