package probe

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What virtio calls its file systems, as in a device's file "device".
const (
	virtioFS = "0x001a"
	virtio9P = "0x0009"
)

// shares looks for directories of the host that the VM tool shows to the guest. One that is
// not declared is a way out, and so is a read-only one that takes a write. It counts devices,
// which need no driver to be there, and mounts what it can name.
func (m Machine) shares(target string) (bool, string) {
	declared := map[string]string{}
	for word := range strings.SplitSeq(target, ",") {
		if tag, mode, ok := strings.Cut(word, "="); ok {
			declared[tag] = mode
		}
	}
	if n := m.devices(virtio9P); n > 0 {
		return true, fmt.Sprintf("%d devices of 9p", n)
	}
	devices, tags := m.devices(virtioFS), m.tags()
	if len(tags) < devices { // this kernel does not list all: what can be mounted by its name is there
		for _, tag := range slices.Sorted(maps.Keys(declared)) {
			if err := m.Share(tag, false); err == nil && !slices.Contains(tags, tag) {
				tags = append(tags, tag)
			}
		}
	}
	var seen []string
	for _, tag := range tags {
		mode := ReadOnly
		if m.Share(tag, true) == nil {
			mode = Writable
		}
		switch allowed, known := declared[tag]; {
		case !known:
			return true, fmt.Sprintf("also %s (%s)", tag, mode)
		case mode == Writable && allowed != Writable:
			return true, tag + " takes a write"
		}
		seen = append(seen, tag+" ("+mode+")")
	}
	if len(tags) < devices {
		return true, fmt.Sprintf("%d shared directories, known by name: %d", devices, len(tags))
	}
	if len(seen) == 0 {
		return false, "none"
	}
	return false, "only " + strings.Join(seen, ", ")
}

// devices counts the virtio devices of a kind.
func (m Machine) devices(kind string) int {
	files, _ := filepath.Glob(m.Sys + "/bus/virtio/devices/*/device")
	count := 0
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(text)) == kind {
			count++
		}
	}
	return count
}

// tags are the names of shared directories that this kernel knows: by its list, which is
// there since 6.9, and by what is mounted.
func (m Machine) tags() []string {
	var tags []string
	add := func(tag string) {
		if tag != "" && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	files, _ := filepath.Glob(m.Sys + "/fs/virtiofs/*/tag")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			add(strings.TrimRight(string(text), "\n"))
		}
	}
	mounts, _ := os.ReadFile(m.Proc + "/self/mountinfo")
	for line := range strings.SplitSeq(string(mounts), "\n") {
		_, after, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(after); len(fields) > 1 && fields[0] == "virtiofs" {
			add(fields[1])
		}
	}
	return tags
}
