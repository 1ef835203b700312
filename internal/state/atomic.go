package state

import (
	"errors"
	"os"
	"path/filepath"
)

// writeAtomic writes through a temporary file in the same directory, so that a reader
// or a crash sees the old bytes or the new ones.
func writeAtomic(path string, data []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), tempPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Chmod(0o600); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return file.Close()
}
