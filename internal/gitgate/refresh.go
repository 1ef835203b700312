package gitgate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"bottle.internal/internal/excerpt"
	"bottle.internal/internal/printable"
)

const (
	// reuse is how long the state of an upstream is taken for current, good or bad.
	reuse = 2 * time.Second
	// pushReuse is longer: what a push must know is checked by the upstream itself.
	pushReuse  = 60 * time.Second
	answerTime = 4500 * time.Millisecond

	maxListing  = 32 << 20
	manyPacks   = 40
	upstreamTag = "bottle-upstream" // in the mirror: what it mirrors
)

// remoteState is one remote under one configuration.
type remoteState struct {
	spec       Remote
	mirror     string
	knownHosts string
	protect    protector
	upstream   *upstream
}

// upstream is what outlives a reload of the configuration.
type upstream struct {
	pushing chan struct{} // held by the push that is under way

	mu        sync.Mutex
	flight    *flight
	refreshed time.Time
	err       error
	known     bool   // the mirror was current once
	changes   uint64 // pushes that the upstream took: what was read before one is old
	packing   bool
}

// flight is one refresh that many requests wait for.
type flight struct {
	done chan struct{}
	err  error
}

// refresh makes the mirror as current as maxAge says. A failure is remembered as well, so
// that a dead upstream is not asked for each request.
func (g *Gate) refresh(ctx context.Context, remote *remoteState, maxAge time.Duration) error {
	u := remote.upstream
	u.mu.Lock()
	f := u.flight
	if f == nil {
		age := g.options.Now().Sub(u.refreshed)
		if !u.refreshed.IsZero() && age < reuse || u.known && u.err == nil && age < maxAge {
			defer u.mu.Unlock()
			return u.err
		}
		f = &flight{done: make(chan struct{})}
		u.flight = f
		g.running.Go(func() { g.fly(remote, f) })
	}
	u.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stale makes the next request ask the upstream.
func (u *upstream) stale() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refreshed, u.known = time.Time{}, false
	u.changes++
}

// fly does the refresh, whoever asked for it: one who hangs up must not fail the others.
func (g *Gate) fly(remote *remoteState, f *flight) {
	begin := g.options.Now()
	u := remote.upstream
	u.mu.Lock()
	before := u.changes
	u.mu.Unlock()
	changed, err := g.refreshNow(g.base, remote)
	entry := line{Event: eventRefresh, Remote: remote.spec.Name, Changed: &changed, Millis: millisSince(begin, g.options.Now())}
	if err != nil {
		err = explain(remote, err)
		entry.Problem = printable.ASCII(err.Error(), 400)
	}
	g.journal.Write(entry)
	u.mu.Lock()
	defer u.mu.Unlock()
	f.err, u.err, u.flight = err, err, nil
	if u.changes == before {
		u.refreshed, u.known = g.options.Now(), err == nil
	}
	close(f.done)
	if err == nil && changed && !u.packing && countPacks(remote.mirror) > manyPacks {
		u.packing = true
		g.running.Go(func() { g.repack(remote) })
	}
}

func millisSince(begin, now time.Time) *float64 {
	ms := float64(now.Sub(begin).Microseconds()) / 1000
	return &ms
}

func countPacks(mirror string) int {
	packs, _ := filepath.Glob(filepath.Join(mirror, "objects", "pack", "*.pack")) // the pattern is well-formed
	return len(packs)
}

// repack keeps what is unreachable: a push or a fetch may be reading it.
func (g *Gate) repack(remote *remoteState) {
	if err := g.git(g.base, gitRun{dir: remote.mirror, args: []string{"repack", "-a", "-d", "-k", "-q"}}); err != nil {
		g.journal.Write(line{Event: eventRefresh, Remote: remote.spec.Name, Problem: printable.ASCII("packing the mirror: "+err.Error(), 300)})
	}
	remote.upstream.mu.Lock()
	defer remote.upstream.mu.Unlock()
	remote.upstream.packing = false
}

// refreshNow asks for the list of refs, which is cheap, and fetches only what changed.
func (g *Gate) refreshNow(ctx context.Context, remote *remoteState) (changed bool, err error) {
	if err := g.ensureMirror(ctx, remote); err != nil {
		return false, err
	}
	theirs, err := g.listUpstream(ctx, remote)
	if err != nil {
		return false, err
	}
	ours, err := g.listMirror(ctx, remote)
	if err != nil {
		return false, err
	}
	if changed = !maps.Equal(theirs.refs, ours.refs); changed {
		if err := g.fetchUpstream(ctx, remote); err != nil {
			return false, err
		}
	}
	if theirs.head != "" && theirs.head != ours.head {
		err = g.git(ctx, gitRun{dir: remote.mirror, args: []string{"symbolic-ref", "HEAD", theirs.head}})
	}
	return changed, err
}

// ensureMirror makes an empty one, whole or not at all. One of another upstream is dropped.
func (g *Gate) ensureMirror(ctx context.Context, remote *remoteState) error {
	tag := []byte(remote.spec.url() + "\n")
	if have, err := os.ReadFile(filepath.Join(remote.mirror, upstreamTag)); err == nil && bytes.Equal(have, tag) {
		return nil
	}
	fresh := filepath.Join(g.quarantines(), "mirror-"+randomName())
	defer func() { _ = os.RemoveAll(fresh) }()
	if err := g.git(ctx, gitRun{args: []string{"init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--", fresh}}); err != nil {
		return fmt.Errorf("making the mirror: %w", err)
	}
	if err := os.WriteFile(filepath.Join(fresh, upstreamTag), tag, 0o600); err != nil {
		return fmt.Errorf("making the mirror: %w", err)
	}
	if err := os.RemoveAll(remote.mirror); err != nil {
		return fmt.Errorf("dropping the mirror of another upstream: %w", err)
	}
	if err := os.Rename(fresh, remote.mirror); err != nil {
		return fmt.Errorf("making the mirror: %w", err)
	}
	return nil
}

// listing is the branches and tags of a repository and the branch that HEAD names.
type listing struct {
	head string
	refs map[string]string
}

func (g *Gate) listUpstream(ctx context.Context, remote *remoteState) (listing, error) {
	ctx, cancel := context.WithTimeout(ctx, g.options.AnswerTime)
	defer cancel()
	out := &excerpt.Head{Limit: maxListing}
	err := g.overSSH(ctx, remote, gitRun{
		args:   []string{"ls-remote", "--quiet", "--symref", "--", remote.spec.url(), "HEAD", heads + "*", "refs/tags/*"},
		stdout: out,
	})
	if err != nil {
		return listing{}, err
	}
	text, over := out.Bytes()
	if over {
		return listing{}, errors.New("the upstream has too many refs")
	}
	l := listing{refs: map[string]string{}}
	for line := range strings.Lines(string(text)) {
		value, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if target, ok := strings.CutPrefix(value, "ref: "); ok && name == "HEAD" && strings.HasPrefix(target, heads) && checkRef(target) == "" {
			l.head = target
		}
		if isMirrored(name) && oidPattern.MatchString(value) {
			l.refs[name] = value
		}
	}
	return l, nil
}

func isMirrored(name string) bool {
	return (strings.HasPrefix(name, heads) || strings.HasPrefix(name, "refs/tags/")) && !strings.HasSuffix(name, "^{}")
}

func (g *Gate) listMirror(ctx context.Context, remote *remoteState) (listing, error) {
	l := listing{refs: map[string]string{}}
	head, err := os.ReadFile(filepath.Join(remote.mirror, "HEAD"))
	if err != nil {
		return l, fmt.Errorf("reading the mirror: %w", err)
	}
	l.head = strings.TrimSpace(strings.TrimPrefix(string(head), "ref: "))
	out, err := g.gitOutput(ctx, gitRun{dir: remote.mirror, args: []string{"for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"}}, maxListing)
	if err != nil {
		return l, err
	}
	for text := range strings.Lines(string(out)) {
		oid, name, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
		l.refs[name] = oid
	}
	return l, nil
}

func (g *Gate) fetchUpstream(ctx context.Context, remote *remoteState) error {
	ctx, cancel := context.WithTimeout(ctx, seconds(g.config.Load().limits.FetchSeconds))
	defer cancel()
	return g.overSSH(ctx, remote, gitRun{dir: remote.mirror, args: []string{
		"fetch", "--quiet", "--force", "--prune", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
		"--no-auto-maintenance", "--refmap=", "--", remote.spec.url(), "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*",
	}})
}
