package staging_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"bottle.internal/internal/workspace"
	"bottle.internal/internal/workspace/staging"
	"bottle.internal/internal/workspace/wire"
)

func TestFullDisk(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	if err := syscall.Mount("tmpfs", parent, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("this test needs root:", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(parent, 0) })
	_, err := staging.Receive(stream(t, good(), func(w *wire.Writer) error { return file(w, "a", strings.Repeat("x", 1<<20)) }), parent, workspace.DefaultLimits())
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Receive = %v", err)
	}
	if entries, err := os.ReadDir(parent); len(entries) != 0 || err != nil {
		t.Errorf("left over: %v, %v", entries, err)
	}
}
