//go:build integration

package bench

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/lockfile"
	"bottle.internal/tests/integration/rig"
)

// pins are the versions of the tools in bottle.lock.
func pins(b *testing.B, r *rig.Rig) []imagebuild.Pin {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(r.Source, lockfile.Name))
	if err != nil {
		b.Fatal(err)
	}
	lock, err := lockfile.Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	var all []imagebuild.Pin
	for _, npm := range lock.Npm {
		all = append(all, imagebuild.Pin(npm))
	}
	return all
}

// integrity of a tool's pinned tarball.
func integrity(b *testing.B, r *rig.Rig, tool string) string {
	b.Helper()
	for _, pin := range pins(b, r) {
		if pin.Tool == tool && pin.Platform == "linux/"+runtime.GOARCH {
			return pin.Integrity
		}
	}
	b.Fatalf("%s does not pin the tool %s", lockfile.Name, tool)
	return ""
}
