//go:build linux

package main

import (
	"path/filepath"
	"testing"
)

// What cannot be mounted takes no write, and no trace of the try remains.
//
//nolint:paralleltest // it sets TMPDIR
func TestShareThatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	for _, write := range []bool{false, true} {
		if err := mountShare("bottle-no-such-tag", write); err == nil {
			t.Error("it was mounted")
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 || err != nil {
		t.Errorf("left %q, %v", left, err)
	}
}
