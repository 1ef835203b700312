package state

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// checkPath accepts a directory that is ours and private, whose parents nobody else
// can exchange under us: every component above belongs to us or root, and is not
// writable by others unless sticky (as /tmp is).
func checkPath(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory", dir)
	}
	if err := checkOwner(dir, info); err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return err
		}
	}
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		if err := checkParent(parent); err != nil {
			return err
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
	}
}

func checkOwner(path string, info fs.FileInfo) error {
	if uid := owner(info); uid != os.Geteuid() {
		return fmt.Errorf("%s belongs to uid %d, not to us (uid %d)", path, uid, os.Geteuid())
	}
	return nil
}

func checkParent(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if uid := owner(info); uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("%s belongs to uid %d, who could exchange what is below", path, uid)
	}
	// The mode of a symlink says nothing; its target was resolved by the Lstat of the
	// component below, and its owner is checked above.
	if info.IsDir() && info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("%s is writable by others, who could exchange what is below", path)
	}
	return nil
}

func owner(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}
