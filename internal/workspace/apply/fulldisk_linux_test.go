package apply_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/workspace/apply"
)

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("this test needs root:", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	was := tree{"a": "a\n", "b": "b\n"}
	write(t, dir, was)
	err := apply.Apply(t.Context(), request(dir, was, tree{"a": "new\n", "big": strings.Repeat("x", 300<<10) + "\n"}))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Apply = %v", err)
	}
	if diff := cmp.Diff(was, read(t, dir)); diff != "" {
		t.Errorf("a full disk (-want +got)\n%s", diff)
	}
}
