//go:build integration && !linux

package rig

import (
	"os"

	"bottle.internal/internal/execx"
)

// NeedVM asks for a real VM tool: the stand-in runs on Linux only.
func NeedVM() error {
	if os.Getenv("BOTTLE_SMOLVM") != "" {
		return nil
	}
	_, err := execx.Find("smolvm")
	return err
}
