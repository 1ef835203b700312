package imagebuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/imagebuild/debian"
)

// Again says how to make everything once more.
type Again struct {
	CacheDir string // empty, and on the cache's disk
	Root     string // the recipes' directory, as in [Config]
	Programs *gobuild.Builder
	Bases    bool // take the bases as they are
}

// Again is a builder with an empty cache that makes the same choices as b. What it would
// download by a hash it takes from b's cache: those are not products of ours.
func (b *Builder) Again(again Again) (*Builder, error) {
	config := b.config
	config.CacheDir, config.Root, config.Programs = again.CacheDir, again.Root, again.Programs
	shared := []string{"base.lock", "npm"}
	if again.Bases {
		shared = append(shared, "bases")
		layers, err := b.baseLayers()
		if err != nil {
			return nil, err
		}
		shared = append(shared, layers...)
	}
	for _, name := range shared {
		target, link := filepath.Join(b.config.CacheDir, name), filepath.Join(again.CacheDir, name)
		if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(target, link)); err != nil {
			return nil, fmt.Errorf("preparing to build again: %w", err)
		}
	}
	return New(config), nil
}

// baseLayers are the files of the layers of all bases.
func (b *Builder) baseLayers() ([]string, error) {
	records, err := filepath.Glob(filepath.Join(b.config.CacheDir, "bases", "*.json"))
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var files []string
	for _, record := range records {
		name := filepath.Base(record)
		found, ok := b.findBase(name[:len(name)-len(".json")])
		if !ok {
			continue
		}
		for _, key := range found.record.Layers {
			if file := filepath.Join("layers", key+".layer"); !seen[key] {
				seen[key] = true
				files = append(files, file, file+".json")
			}
		}
	}
	return files, nil
}

// Moved says whether a base could not be made because the mirror has other packages now.
func Moved(err error) bool { return errors.Is(err, debian.ErrMoved) }
