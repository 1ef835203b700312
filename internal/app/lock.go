package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/lockfile"
)

func (a *App) lockPath() string { return filepath.Join(a.source, lockfile.Name) }

// readLock reads the checkout's bottle.lock, or the one that this release was made with.
// Without one nothing is pinned.
func (a *App) readLock() (lockfile.File, error) {
	var text []byte
	var err error
	switch {
	case a.source != "":
		text, err = os.ReadFile(a.lockPath())
	case a.config.Prebuilt != nil:
		text, err = fs.ReadFile(a.config.Prebuilt, lockfile.Name)
	default:
		return lockfile.File{}, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return lockfile.File{}, nil
	}
	if err != nil {
		return lockfile.File{}, err
	}
	lock, err := lockfile.Parse(text)
	if err != nil {
		return lockfile.File{}, &Problem{Err: err, Hints: []string{"take back what changed it: git checkout " + lockfile.Name}}
	}
	return lock, nil
}

// lock is the lock as builds see it, read once.
func (a *App) lock() (lockfile.File, error) { return a.locks.get(a.readLock) }

// locked says whether the base has to be the one of bottle.lock. It is not by itself:
// Debian's mirrors forget a version on the day of the next one, and then nobody could
// build any more.
func (a *App) locked() bool {
	say := a.config.getenv("BOTTLE_LOCKED")
	return say != "" && say != "0" && say != "false"
}

// lockedBase is the base that was chosen, in the terms of the lock.
func lockedBase(chosen imagebuild.Chosen) lockfile.Base {
	base := lockfile.Base{Platform: guestPlatform().String(), From: chosen.From, Digest: chosen.Digest, Packages: chosen.Packages}
	if len(base.Packages) > 0 {
		base.Digest = lockfile.Packages(base.Packages)
	}
	return base
}

// heldTo refuses a base that is not the locked one, where that was asked for.
func (a *App) heldTo(lock lockfile.File, job *imagebuild.Job) error {
	if !a.locked() {
		return nil
	}
	chosen := lockedBase(job.Chosen())
	pinned, ok := lock.Base(chosen.Platform, chosen.From)
	hints := []string{"what else would change: bottle update --dry-run", "go tool mage update", "or choose from the mirror again: bottle base", "or take the base as it is: unset BOTTLE_LOCKED"}
	switch {
	case !ok:
		return &Problem{Text: fmt.Sprintf("%s pins no base %s for %s", lockfile.Name, chosen.From, chosen.Platform), Hints: hints}
	case pinned.Digest != chosen.Digest:
		return &Problem{Text: fmt.Sprintf("the base %s is not the one of %s: %s", chosen.From, lockfile.Name, difference(pinned, chosen)), Hints: hints}
	}
	return nil
}

// mentionLock says, where an image is really built, that its base is another one.
func (a *App) mentionLock(ctx context.Context, job *imagebuild.Job) {
	lock, err := a.lock()
	chosen := lockedBase(job.Chosen())
	pinned, ok := lock.Base(chosen.Platform, chosen.From)
	if err != nil || !ok || pinned.Digest == chosen.Digest {
		return
	}
	a.events.Send(ctx, event.Event{Kind: event.Info, Step: "base", Text: fmt.Sprintf(
		"the base is not the one of %s: %s (go tool mage update)", lockfile.Name, difference(pinned, chosen))})
}

// mostChanges bounds a line.
const mostChanges = 4

func difference(pinned, chosen lockfile.Base) string {
	changes := lockfile.PackageChanges(pinned.Packages, chosen.Packages)
	if len(changes) == 0 {
		return cmp.Or(pinned.Digest, "none") + " -> " + chosen.Digest
	}
	var words []string
	for _, change := range changes[:min(len(changes), mostChanges)] {
		words = append(words, strings.TrimPrefix(change.String(), "~ "))
	}
	if more := len(changes) - mostChanges; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}
