package vm_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"bottle.internal/internal/lite/vm"
)

// A disk that is there may have been in a guest's hands: mkfs does not get to see it.
func TestNewOverlayLeavesAnOldDiskAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "overlay.ext4")
	if err := os.WriteFile(path, []byte("a guest's bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := vm.NewOverlay(t.Context(), path, 1); !errors.Is(err, fs.ErrExist) {
		t.Errorf("NewOverlay = %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "a guest's bytes" {
		t.Errorf("%q, %v", text, err)
	}
}
