package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bottle.internal/internal/event"
	"bottle.internal/internal/names"
)

// Clean removes the caches: packs, layers and programs; with all, downloads and the
// base too. It returns what was removed.
func (a *App) Clean(all bool) ([]string, error) {
	dirs := []string{packsDir, "recipes", "registry", "layers", "programs", "files"}
	if all {
		dirs = nil
		entries, err := os.ReadDir(a.dirs.cache)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("looking at the cache: %w", err)
		}
		for _, entry := range entries {
			dirs = append(dirs, entry.Name())
		}
	}
	root, err := os.OpenRoot(a.dirs.cache)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	defer root.Close()
	if dirs, err = a.spare(root, dirs); err != nil {
		return nil, fmt.Errorf("looking at the cache: %w", err)
	}
	var removed []string
	for _, name := range dirs {
		if _, err := root.Lstat(name); err != nil {
			continue
		}
		if err := root.RemoveAll(name); err != nil {
			return removed, fmt.Errorf("cleaning the cache: %w", err)
		}
		removed = append(removed, filepath.Join(a.dirs.cache, name))
	}
	return removed, nil
}

// spare puts the single packs in place of their directory where a bottle needs one of them:
// its machine boots from it, now or after a resume.
func (a *App) spare(root *os.Root, dirs []string) ([]string, error) {
	needed := a.neededPacks()
	at := slices.Index(dirs, packsDir)
	if len(needed) == 0 || at < 0 {
		return dirs, nil
	}
	entries, err := fs.ReadDir(root.FS(), packsDir)
	if errors.Is(err, os.ErrNotExist) {
		return dirs, nil
	}
	if err != nil {
		return nil, err
	}
	var packs []string
	for _, entry := range entries {
		// The record too: without it the pack would be made again, over the old one.
		key, _, _ := strings.Cut(entry.Name(), ".")
		if owner, ok := needed[key]; !ok {
			packs = append(packs, filepath.Join(packsDir, entry.Name()))
		} else if !strings.HasSuffix(entry.Name(), ".json") {
			a.events.Send(context.Background(), event.Event{Kind: event.Info, Step: "clean", Text: fmt.Sprintf("%s stays: the machine of %s boots from it", entry.Name(), owner)})
		}
	}
	return slices.Replace(dirs, at, at+1, packs...), nil
}

// packsDir is where internal/imagepack keeps its artifacts, as KEY.EXTENSION.
const packsDir = "packs"

// neededPacks maps the keys of packs to a bottle that needs each.
func (a *App) neededPacks() map[string]names.Identity {
	needed := map[string]names.Identity{}
	instances, _ := a.state.List()
	for _, instance := range instances {
		status, err := instance.Status()
		if err == nil && filepath.Dir(status.Artifact) == filepath.Join(a.dirs.cache, packsDir) {
			key, _, _ := strings.Cut(filepath.Base(status.Artifact), ".")
			needed[key] = instance.ID
		}
	}
	return needed
}
