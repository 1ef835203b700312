package probe_test

import (
	"errors"
	"testing"

	"bottle.internal/internal/guest/probe"
)

func TestShares(t *testing.T) {
	t.Parallel()
	const (
		fs      = "0x001a\n"
		block   = "0x0002\n"
		mounted = "22 1 0:21 / / rw - virtiofs /dev/root rw\n23 22 0:5 / /proc rw - proc proc rw\n"
	)
	// smolvm: its root, and the layers of the image, of which only the root takes writes
	const smolvm = "/dev/root=rw,smolvm_layers=ro"
	for _, test := range []struct {
		name     string
		files    map[string]string
		writable string // the tag that takes a write
		target   string
		reached  bool
		saw      string
	}{
		{"smolvm-lite", map[string]string{"sys/bus/virtio/devices/virtio0/device": block}, "", "", false, "none"},
		{"nothing at all", nil, "", "", false, "none"},
		{
			"a tag that nobody declared",
			map[string]string{"sys/bus/virtio/devices/virtio0/device": fs, "sys/fs/virtiofs/3/tag": "home\n"},
			"", "", true, "also home (ro)",
		},
		{
			"a tag that nobody declared, and no device to be seen",
			map[string]string{"sys/fs/virtiofs/3/tag": "home\n"},
			"home", smolvm, true, "also home (rw)",
		},
		{
			"a device without a driver, of which no kernel knows the tag",
			map[string]string{"sys/bus/virtio/devices/virtio0/device": fs},
			"", "", true, "1 shared directories, known by name: 0",
		},
		{"9p", map[string]string{"sys/bus/virtio/devices/virtio7/device": "0x0009\n"}, "", smolvm, true, "1 devices of 9p"},
		{
			"smolvm as it should be",
			map[string]string{
				"sys/bus/virtio/devices/virtio0/device": fs, "sys/bus/virtio/devices/virtio1/device": fs,
				"sys/fs/virtiofs/3/tag": "/dev/root\n", "sys/fs/virtiofs/4/tag": "smolvm_layers\n",
			},
			"/dev/root", smolvm, false, "only /dev/root (rw), smolvm_layers (ro)",
		},
		{
			"smolvm on a kernel before 6.9",
			map[string]string{
				"sys/bus/virtio/devices/virtio0/device": fs, "sys/bus/virtio/devices/virtio1/device": fs, "proc/self/mountinfo": mounted,
			},
			"/dev/root", smolvm, false, "only /dev/root (rw), smolvm_layers (ro)",
		},
		{
			"everybody's root takes a write",
			map[string]string{"sys/fs/virtiofs/3/tag": "/dev/root\n"},
			"/dev/root", "/dev/root=ro", true, "/dev/root takes a write",
		},
		{
			"the layers take a write",
			map[string]string{"proc/self/mountinfo": "1 1 0:1 / /l ro - virtiofs smolvm_layers ro\n"},
			"smolvm_layers", smolvm, true, "smolvm_layers takes a write",
		},
	} {
		m := place(t, test.files)
		m.Share = func(tag string, write bool) error {
			if write && tag != test.writable {
				return errors.New("read-only file system")
			}
			return nil
		}
		got := m.Try(probe.Probe{Kind: probe.Shares, Target: test.target})
		if got.Reached != test.reached || got.Saw != test.saw {
			t.Errorf("%s: %+v, want %v, %q", test.name, got, test.reached, test.saw)
		}
	}
}
