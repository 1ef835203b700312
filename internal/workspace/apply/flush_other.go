//go:build !linux

package apply

import "os"

// syncEach: without a flush of a whole file system, each file has its own.
const syncEach = true

func flush(dir *os.File) error { return dir.Sync() }
