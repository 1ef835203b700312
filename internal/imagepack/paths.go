package imagepack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"
)

// paths knows where things are in the cache directory:
//
//	packs/KEY.smolmachine, packs/KEY.tar   artifacts
//	packs/KEY.json                         their records
//	packs/locks/NAME.lock                  one per recipe and per pack; they stay
//	packs/tmp.NAME.RANDOM/                 belongs to whoever holds lock NAME
//	recipes/KEY.json                       which image a recipe key builds
//	registry/sha256/HEX                    blobs of the local registry
type paths struct {
	packs, locks, recipes, blobs string
}

func newPaths(cacheDir string) paths {
	packs := filepath.Join(cacheDir, "packs")
	return paths{
		packs: packs, locks: filepath.Join(packs, "locks"),
		recipes: filepath.Join(cacheDir, "recipes"), blobs: filepath.Join(cacheDir, "registry", "sha256"),
	}
}

func (p paths) recipe(key string) string   { return filepath.Join(p.recipes, key+".json") }
func (p paths) record(key string) string   { return filepath.Join(p.packs, key+".json") }
func (p paths) artifact(rec record) string { return filepath.Join(p.packs, rec.Key+extension(rec.Via)) }

func extension(via string) string {
	if via == ViaArchive {
		return ".tar"
	}
	return ".smolmachine"
}

// prepare makes the directories and refuses any that others could have filled.
func (p paths) prepare() error {
	for _, dir := range []string{p.locks, p.recipes, p.blobs} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the cache: %w", err)
		}
	}
	for _, dir := range []string{p.packs, p.locks, p.recipes, filepath.Dir(p.blobs), p.blobs} {
		var stat unix.Stat_t
		if err := unix.Lstat(dir, &stat); err != nil {
			return fmt.Errorf("looking at the cache %s: %w", dir, err)
		}
		switch {
		case stat.Mode&unix.S_IFMT != unix.S_IFDIR:
			return &cacheError{"cache directory " + dir + " is not a directory", "rm " + shellQuote(dir)}
		case int(stat.Uid) != os.Geteuid():
			return &cacheError{
				fmt.Sprintf("cache directory %s belongs to another user (uid %d)", dir, stat.Uid),
				"export XDG_CACHE_HOME=... (a directory of yours)",
			}
		case stat.Mode&0o022 != 0:
			return &cacheError{"cache directory " + dir + " is writable by others", "chmod 700 " + shellQuote(dir)}
		}
	}
	return nil
}

var tempName = regexp.MustCompile(`^tmp\.((?:recipe|pack)-[0-9a-f]{64})\.[0-9]+$`)

// sweep removes the temporary files of processes that died: those whose lock is free.
// What cannot be removed waits for the next run.
func (p paths) sweep() {
	entries, err := os.ReadDir(p.packs)
	if err != nil {
		return
	}
	for _, entry := range entries {
		match := tempName.FindStringSubmatch(entry.Name())
		if match == nil {
			continue
		}
		file, err := tryLock(p.lock(match[1]))
		if err != nil {
			continue
		}
		_ = p.remove(entry.Name())
		_ = file.Close()
	}
}

// remove takes away something in packs, without following a symlink.
func (p paths) remove(name string) error {
	root, err := os.OpenRoot(p.packs)
	if err != nil {
		return err
	}
	return errors.Join(root.RemoveAll(name), root.Close())
}

func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(handle.Sync(), handle.Close())
}
