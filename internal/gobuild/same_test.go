package gobuild_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A checkout elsewhere, with a version control directory, with files of another year, on a
// machine whose clock is in another zone, gives the same program.
func TestSameBytesAtTwoTimes(t *testing.T) {
	t.Parallel()
	old, late := module(t), module(t)
	for root, at := range map[string]time.Time{old: time.Unix(1_000_000_000, 0), late: time.Unix(4_000_000_000, 0)} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Chtimes(path, at, at)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(late, ".git", "HEAD"), "ref: refs/heads/main\n")
	first := build(t, old, t.TempDir(), append(ownCache(t), "TZ=UTC")...)
	second := build(t, late, t.TempDir(), append(ownCache(t), "TZ=Pacific/Kiritimati", "LC_ALL=C", "USER=somebody", "SOURCE_DATE_EPOCH=1")...)
	if first.SHA256 != second.SHA256 || first.Size != second.Size {
		t.Errorf("digests differ: %+v and %+v", first, second)
	}
}

// ownCache lets Go compile all of it again, Go's own packages too, where there is time for it:
// with the common cache only the linker works twice.
func ownCache(t *testing.T) []string {
	t.Helper()
	if os.Getenv("BOTTLE_SLOW") == "" {
		return nil
	}
	return []string{"GOCACHE=" + t.TempDir()}
}
