//go:build integration

package bench

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"bottle.internal/internal/lockfile"
	"bottle.internal/tests/integration/rig"
)

// lock is the checkout's bottle.lock.
func lock(b *testing.B, r *rig.Rig) lockfile.File {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(r.Source, lockfile.Name))
	if err != nil {
		b.Fatal(err)
	}
	lock, err := lockfile.Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	return lock
}

// integrity of a tool's pinned tarball.
func integrity(b *testing.B, r *rig.Rig, tool string) string {
	b.Helper()
	pin, ok := lock(b, r).Tool(tool, "linux/"+runtime.GOARCH)
	if !ok {
		b.Fatalf("%s does not pin the tool %s", lockfile.Name, tool)
	}
	return pin.Integrity
}
