package smolvm

import (
	"path/filepath"
	"strings"
)

// Disks is where the tool keeps the disks of all its machines, given the environment of its
// calls. It may not exist yet.
func (t Tool) Disks(env []string) string {
	get := func(name string) (value string) {
		for _, entry := range env {
			if v, ok := strings.CutPrefix(entry, name+"="); ok {
				value = v // the last one counts
			}
		}
		return value
	}
	below := func(variable, inHome string) string {
		if dir := get(variable); filepath.IsAbs(dir) {
			return dir
		}
		return filepath.Join(get("HOME"), inHome)
	}
	switch data := get("SMOLVM_DATA_DIR"); {
	case t.Name == NameLite:
		return filepath.Join(below("XDG_DATA_HOME", ".local/share"), "smolvm-lite", "machines")
	case data != "": // it is the tool's HOME then, without any XDG directory
		return filepath.Join(data, ".cache", "smolvm", "vms")
	}
	return filepath.Join(below("XDG_CACHE_HOME", ".cache"), "smolvm", "vms")
}
