//go:build integration && !linux

package crash

import (
	"os"

	"bottle.internal/internal/execx"
)

// needVM asks for a real VM tool: the stand-in runs on Linux only.
func needVM() error {
	if os.Getenv("BOTTLE_SMOLVM") != "" {
		return nil
	}
	_, err := execx.Find("smolvm")
	return err
}
