package state

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bottle.internal/internal/names"
)

// tempPrefix begins the name of a file that is being written.
const tempPrefix = ".tmp-"

// StrayFiles finds what killed processes had begun to write, in instances that nobody owns.
func (r *Root) StrayFiles() map[string]names.Identity {
	strays := map[string]names.Identity{}
	instances, _ := r.List()
	for _, instance := range instances {
		entries, err := os.ReadDir(instance.dir)
		if err != nil || instance.Owned() {
			continue
		}
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), tempPrefix) && entry.Type().IsRegular() {
				strays[instance.Path(entry.Name())] = instance.ID
			}
		}
	}
	return strays
}

// RemoveStrayFile removes one of them; the caller has the lock of its instance.
func (r *Root) RemoveStrayFile(path string) error {
	name, err := filepath.Rel(r.dir, path)
	if err != nil || !strings.HasPrefix(filepath.Base(path), tempPrefix) {
		return fmt.Errorf("%q is not ours: it is left alone", path)
	}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Remove(name); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
