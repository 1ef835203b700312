package state

import (
	"errors"
	"io/fs"
	"os"
)

// RemoveTree removes a directory in which a guest may have taken away the rights of the
// owner, us: smolvm writes for it in [RootfsDir]. Like RemoveAll it follows no link.
func RemoveTree(root *os.Root, name string) error {
	err := root.RemoveAll(name)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	// A directory is opened up before it is read, and what is no longer there stays gone.
	_ = fs.WalkDir(root.FS(), name, func(path string, entry fs.DirEntry, _ error) error {
		if entry != nil && entry.IsDir() {
			_ = root.Chmod(path, 0o700)
		}
		return nil
	})
	return root.RemoveAll(name)
}
