package app

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"bottle.internal/internal/diskcache"
	"bottle.internal/internal/doctor"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/lockfile"
)

// The parts of bottle.lock that can be updated one by one.
const (
	PartBase     = "base"
	PartNpm      = "npm"
	PartPipelock = "pipelock"
	PartTools    = "tools"
)

// UpdateParts lists them.
func UpdateParts() []string { return []string{PartBase, PartNpm, PartPipelock, PartTools} }

// UpdateRequest is what was asked for.
type UpdateRequest struct {
	Parts  []string // none: all
	DryRun bool     // only say what would change
}

// Update is what changed in bottle.lock.
type Update struct {
	Path    string            `json:"path"`
	Changes []lockfile.Change `json:"changes"`
	Written bool              `json:"written"`
}

// Update looks for what is newest, and writes it into bottle.lock. All of it is found out
// before anything is written.
func (a *App) Update(ctx context.Context, request UpdateRequest) (Update, error) {
	if a.source == "" {
		return Update{}, noCheckout(lockfile.Name + " is in the checkout of bottle, which was not found")
	}
	old, err := a.readLock()
	if err != nil {
		return Update{}, err
	}
	fresh, take, err := a.refresh(ctx, old, request.Parts)
	if err != nil {
		return Update{}, err
	}
	done := Update{Path: a.lockPath(), Changes: lockfile.Diff(old, fresh)}
	if request.DryRun {
		return done, nil
	}
	if len(done.Changes) > 0 {
		text, err := fresh.Text()
		if err != nil {
			return Update{}, err
		}
		err = diskcache.WriteFile(done.Path, func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		})
		if err != nil {
			return Update{}, fmt.Errorf("writing %s: %w", lockfile.Name, err)
		}
		done.Written = true
	}
	return done, take(ctx)
}

// refresh returns the new lock, and what makes this machine use its base.
func (a *App) refresh(ctx context.Context, lock lockfile.File, parts []string) (lockfile.File, func(context.Context) error, error) {
	recipe, err := a.recipe(agentRecipe)
	if err != nil {
		return lock, nil, err
	}
	wants := func(part string) bool { return len(parts) == 0 || slices.Contains(parts, part) }
	take := func(context.Context) error { return nil }
	builder := a.builder(lock)
	if wants(PartBase) {
		offer, err := builder.Offer(ctx, recipe, guestPlatform())
		if err != nil {
			return lock, nil, without(PartBase, err)
		}
		take = offer.Take
		if offer.Lockable {
			lock = lock.WithBase(lockedBase(offer.Chosen))
		}
	}
	if wants(PartNpm) {
		newest, err := builder.NewestPins(ctx, recipe)
		if err != nil {
			return lock, nil, without(PartNpm, err)
		}
		lock.Npm = newest // what the recipe has no more is pinned no more
	}
	if wants(PartPipelock) {
		if lock.Pipelock, err = a.pipelockPin(ctx, lock.Pipelock); err != nil {
			return lock, nil, without(PartPipelock, err)
		}
	}
	if wants(PartTools) {
		lock.Seen = a.seen(ctx)
	}
	return lock, take, nil
}

// without says how to update the rest.
func without(part string, err error) error {
	rest := slices.DeleteFunc(UpdateParts(), func(one string) bool { return one == part })
	return &Problem{Err: err, Hints: []string{"update the rest: bottle update " + strings.Join(rest, " ")}}
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

// pipelockPin pins the operator's pipelock, by the hash that the operator named. Where none
// is configured, the old pin stays: another machine may have it.
func (a *App) pipelockPin(ctx context.Context, old *lockfile.Pipelock) (*lockfile.Pipelock, error) {
	pinned := ""
	if old != nil {
		pinned = old.SHA256
	}
	file, err := a.namedPipelock(pinned)
	if err != nil || file.Path == "" {
		return old, err
	}
	out, _ := execx.Output(ctx, execx.Cmd{Path: file.Path, Args: []string{"--version"}})
	version := versionNumber.FindString(string(out))
	if version == "" {
		version = "unknown"
	}
	return &lockfile.Pipelock{Version: version, SHA256: file.SHA256}, nil
}

// seen are the tools of this machine that have a part in images and machines.
func (a *App) seen(ctx context.Context) []lockfile.Seen {
	var all []lockfile.Seen
	for _, item := range doctor.Check(ctx, a.hostOptions()) {
		if item.Status != doctor.OK || item.Version == "" {
			continue
		}
		file := item.Detail
		switch item.Name {
		case doctor.Go, doctor.QEMU, doctor.Mmdebstrap, doctor.Docker, doctor.Smolvm:
		case doctor.Kernel:
			file = filepath.Join(file, "boot", "vmlinuz-"+item.Version)
		default:
			continue
		}
		tool := lockfile.Seen{Name: strings.ToLower(item.Name), Version: item.Version}
		if hashed, err := hashFile(file); err == nil {
			tool.Digest = "sha256:" + hashed.SHA256
		}
		all = append(all, tool)
	}
	return all
}
