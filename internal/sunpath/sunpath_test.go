package sunpath

import (
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestMax(t *testing.T) {
	t.Parallel()
	for goos, want := range map[string]int{"linux": 107, "darwin": 103, "freebsd": 103, "plan9": 103} {
		if got := Max(goos); got != want || got < Portable {
			t.Errorf("%s: %d, want %d", goos, got, want)
		}
	}
}

// The kernel that this test runs on agrees.
func TestTheKernelAgrees(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // a relative path counts as it is given
	for extra, fits := range map[int]bool{0: true, 1: false} {
		name := strings.Repeat("x", Max(runtime.GOOS)+extra)
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(".", name))
		if (err == nil) != fits {
			t.Errorf("a path of %d bytes: %v", len(name), err)
		}
		if err == nil {
			_ = listener.Close()
		}
	}
}
