package imagebuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"bottle.internal/internal/diskcache"
)

// lockFile is base.lock: what was asked for, and what it was.
type lockFile struct {
	Version int               `json:"version"`
	Bases   map[string]choice `json:"bases"`
}

func (b *Builder) lockPath() string { return filepath.Join(b.config.CacheDir, "base.lock") }

// readLock treats a missing file as empty. A file that is not ours is an error: to
// choose anew in silence would be to change the image in silence.
func (b *Builder) readLock() (lockFile, error) {
	empty := lockFile{Version: 1, Bases: map[string]choice{}}
	text, err := os.ReadFile(b.lockPath())
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, fmt.Errorf("reading base.lock: %w", err)
	}
	var file lockFile
	if err := json.Unmarshal(text, &file); err != nil || file.Version != 1 || file.Bases == nil {
		return empty, fmt.Errorf("%s is damaged or of another version\nremove it, and the base is chosen anew", b.lockPath())
	}
	return file, nil
}

func (b *Builder) pinned(entry string) (choice, bool, error) {
	file, err := b.readLock()
	pinned, ok := file.Bases[entry]
	if ok && pinned.Kind == kindDebian && pinned.Debian == nil {
		return choice{}, false, fmt.Errorf("%s is damaged\nremove it, and the base is chosen anew", b.lockPath())
	}
	return pinned, ok, err
}

// pin writes a choice down. The caller holds the lock.
func (b *Builder) pin(entry string, chosen choice) error {
	file, err := b.readLock()
	if err != nil {
		return err
	}
	file.Bases[entry] = chosen
	return diskcache.WriteFile(b.lockPath(), func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(file)
	})
}

func (b *Builder) lock(ctx context.Context, name string) (func(), error) {
	return diskcache.Lock(ctx, filepath.Join(b.config.CacheDir, "locks", name))
}
