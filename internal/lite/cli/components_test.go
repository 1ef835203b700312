//go:build linux

package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// Who wants the digests of what a machine boots must be told where it is.
func TestStatusNamesWhatWasBooted(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	asked := func(machine string) map[string]string {
		t.Helper()
		var status struct {
			Components map[string]string `json:"components"`
		}
		if err := json.Unmarshal([]byte(w.must(t, "machine", "status", "--name", machine, "--json")), &status); err != nil {
			t.Fatal(err)
		}
		return status.Components
	}
	w.must(t, "machine", "create", "--name", "b", "--from", w.artifact, "--overlay", "1")
	if got := asked("b"); got != nil {
		t.Errorf("before its first start: %v", got)
	}
	w.up(t, "a")
	got, names := asked("a"), []string{}
	for name, path := range got {
		names = append(names, name)
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || !filepath.IsAbs(path) {
			t.Errorf("%s is %s: %v, %v", name, path, info, err)
		}
	}
	slices.Sort(names)
	qemu := map[string]string{"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}[runtime.GOARCH]
	if want := []string{"initramfs", "kernel", qemu}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}
