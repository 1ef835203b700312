package smolvm

import (
	"path/filepath"
	"strings"
)

// Disks is where the tool keeps the disks of all its machines, given the environment of its
// calls. It may not exist yet.
func (t Tool) Disks(env []string) string {
	below := func(base, inHome string) string {
		if dir := variable(env, base); filepath.IsAbs(dir) {
			return dir
		}
		return filepath.Join(variable(env, "HOME"), inHome)
	}
	switch data := variable(env, "SMOLVM_DATA_DIR"); {
	case t.Name == NameLite:
		return filepath.Join(below("XDG_DATA_HOME", ".local/share"), "smolvm-lite", "machines")
	case data != "": // it is the tool's HOME then, without any XDG directory
		return filepath.Join(data, ".cache", "smolvm", "vms")
	}
	return filepath.Join(below("XDG_CACHE_HOME", ".cache"), "smolvm", "vms")
}

// variable is the value of a variable; the last one counts.
func variable(env []string, name string) (value string) {
	for _, entry := range env {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}
