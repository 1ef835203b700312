//go:build integration

package rig

import (
	"os"
	"path/filepath"
	"runtime"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/lite/vm"
)

// NeedVM asks for what the stand-in needs; a named or installed VM tool is believed.
func NeedVM() error {
	if os.Getenv("BOTTLE_SMOLVM") != "" {
		return nil
	}
	if _, err := execx.Find("smolvm"); err == nil {
		return nil
	}
	kernel := os.Getenv("SMOLVM_LITE_KERNEL")
	if kernel == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return err
		}
		kernel = filepath.Join(Dir("XDG_DATA_HOME", home, ".local/share"), "smolvm-lite", "kernel")
	}
	if _, err := vm.FindKernel(kernel); err != nil {
		return err
	}
	_, err := vm.FindQEMU(runtime.GOARCH)
	return err
}
