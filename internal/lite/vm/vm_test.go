package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"bottle.internal/tests/golden"
)

func specs() map[string]Spec {
	base := Spec{
		Name: "demo", CPUs: 2, MemMiB: 768, Kernel: "/k/vmlinuz", Initramfs: "/c/initramfs.cpio",
		Image: "/m/a,b/image.ext4", Overlay: "/m/a,b/overlay.ext4",
	}
	tcg, kvm, arm, probe := base, base, base, base
	tcg.Arch, tcg.Accel, tcg.CounterKHz = "amd64", TCG, 2_596_112
	kvm.Arch, kvm.Accel, kvm.CounterKHz = "amd64", KVM, 2_596_112
	arm.Arch, arm.Accel = "arm64", TCG
	probe.Arch, probe.Accel, probe.Probe, probe.Image, probe.Overlay = "amd64", KVM, true, "", ""
	return map[string]Spec{"amd64-tcg": tcg, "amd64-kvm": kvm, "arm64-tcg": arm, "probe": probe}
}

func TestArgs(t *testing.T) {
	t.Parallel()
	for name, spec := range specs() {
		args, err := spec.Args()
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "testdata/"+name+".args", strings.Join(args, "\n")+"\n")
	}
	if _, err := (Spec{Arch: "riscv64"}).Args(); err == nil || err.Error() != "smolvm-lite does not run on riscv64" {
		t.Errorf("riscv64: %v", err)
	}
}

// TestNoNetworkDevice is the boundary of the whole stand-in.
func TestNoNetworkDevice(t *testing.T) {
	t.Parallel()
	for name, spec := range specs() {
		args, err := spec.Args()
		if err != nil {
			t.Fatal(err)
		}
		line := strings.Join(args, " ")
		for _, forbidden := range []string{"netdev", "-net ", "virtio-net", "e1000", "user,", "hostfwd", "vhost", "vsock", "virtfs", "fsdev", "-monitor", "-qmp"} {
			if strings.Contains(line, forbidden) {
				t.Errorf("%s: %s in %s", name, forbidden, line)
			}
		}
		for _, needed := range []string{
			"-nodefaults", "-no-user-config", "-nic none",
			"-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		} {
			if !strings.Contains(line, needed) {
				t.Errorf("%s: %s is missing", name, needed)
			}
		}
		if !spec.Probe && strings.Count(line, `"read-only":true`) != 1 {
			t.Errorf("%s: exactly the image must be read-only", name)
		}
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFindKernel(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "with [brackets]*")
	fail := func(reason string) {
		t.Helper()
		_, err := FindKernel(dir)
		var missing *MissingKernelError
		if !errors.As(err, &missing) || missing.Reason != reason || missing.Dir != dir {
			t.Errorf("%v, want the reason %q", err, reason)
		}
	}
	fail("there is no boot/vmlinuz-*")
	write(t, filepath.Join(dir, "boot/vmlinuz-6.1.0-9-cloud"), nil)
	fail("there is no lib/modules/6.1.0-9-cloud")
	write(t, filepath.Join(dir, "lib/modules/6.1.0-9-cloud/modules.builtin"), nil)
	write(t, filepath.Join(dir, "boot/vmlinuz-6.1.0-56-cloud"), nil)
	write(t, filepath.Join(dir, "usr/lib/modules/6.1.0-56-cloud/modules.builtin"), nil)
	write(t, filepath.Join(dir, "boot/vmlinuz-6.2.0-incomplete"), nil)
	kernel, err := FindKernel(dir)
	want := Kernel{
		Image:   filepath.Join(dir, "boot/vmlinuz-6.1.0-56-cloud"),
		Modules: filepath.Join(dir, "usr/lib/modules/6.1.0-56-cloud"), Release: "6.1.0-56-cloud",
	}
	if err != nil || kernel != want {
		t.Errorf("%+v, %v", kernel, err)
	}
}

func TestOlderRelease(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"6.1.0-9", "6.1.0-56"}, {"5.15.0", "6.1.0"}, {"6.1", "6.1.1"}, {"6.1.0-56-cloud", "6.1.0-56-generic"}, {"", "1"},
	} {
		if !olderRelease(pair[0], pair[1]) || olderRelease(pair[1], pair[0]) {
			t.Errorf("%q must be older than %q", pair[0], pair[1])
		}
	}
	if olderRelease("6.1.0", "6.1.0") {
		t.Error("a release is not older than itself")
	}
}

// moduleELF is the smallest file that debug/elf reads a .modinfo from.
func moduleELF(t *testing.T, depends string) []byte {
	t.Helper()
	names, info := "\x00.modinfo\x00.shstrtab\x00", "license=GPL\x00depends="+depends+"\x00name=x\x00"
	const header, section = 64, 64
	var b bytes.Buffer
	b.WriteString("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9))
	put := func(values ...any) {
		for _, v := range values {
			if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	infoAt := uint64(header)
	namesAt := infoAt + uint64(len(info))
	sectionsAt := namesAt + uint64(len(names))
	put(uint16(1), uint16(62), uint32(1), uint64(0), uint64(0), sectionsAt, uint32(0), uint16(header), uint16(0), uint16(0),
		uint16(section), uint16(3), uint16(2))
	b.WriteString(info + names)
	b.Write(make([]byte, section))
	put(uint32(1), uint32(1), uint64(0), uint64(0), infoAt, uint64(len(info)), uint32(0), uint32(0), uint64(1), uint64(0))
	put(uint32(10), uint32(3), uint64(0), uint64(0), namesAt, uint64(len(names)), uint32(0), uint32(0), uint64(1), uint64(0))
	return b.Bytes()
}

func compressed(t *testing.T, ext string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	var err error
	if ext == ".xz" {
		w, err = xz.NewWriter(&b)
	} else {
		w, err = zstd.NewWriter(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// modulesDir has every compression, a built-in, and names with both dashes.
func modulesDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "modules.builtin"), []byte("kernel/fs/ext4/ext4.ko\nkernel/crypto/crc32c_generic.ko\n"))
	write(t, filepath.Join(dir, "kernel/virtio/virtio_ring.ko.xz"), compressed(t, ".xz", moduleELF(t, "")))
	write(t, filepath.Join(dir, "kernel/virtio/virtio-pci.ko.zst"), compressed(t, ".zst", moduleELF(t, "virtio_ring")))
	write(t, filepath.Join(dir, "kernel/virtio_blk.ko"), moduleELF(t, "virtio-ring,ext4"))
	write(t, filepath.Join(dir, "kernel/virtio_console.ko"), moduleELF(t, "virtio_ring"))
	write(t, filepath.Join(dir, "kernel/overlay.ko"), moduleELF(t, ""))
	write(t, filepath.Join(dir, "kernel/crc32c-intel.ko"), moduleELF(t, ""))
	write(t, filepath.Join(dir, "kernel/unwanted.ko"), []byte("not even a module"))
	return dir
}

func TestLoadOrder(t *testing.T) {
	t.Parallel()
	dir := modulesDir(t)
	modules, err := loadOrder(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range modules {
		names = append(names, m.name)
		if !bytes.HasPrefix(m.data, []byte("\x7fELF")) {
			t.Errorf("%s was not unpacked", m.name)
		}
	}
	want := []string{"crc32c_intel", "virtio_ring", "virtio_pci", "virtio_blk", "virtio_console", "overlay"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	for path, test := range map[string]struct {
		data []byte
		want string
	}{
		"virtio_blk.ko":     {[]byte("junk"), "reading kernel module virtio_blk: "},
		"overlay.ko":        {moduleELF(t, "nowhere"), "kernel module nowhere is neither built in nor in the package"},
		"virtio_console.ko": {nil, "reading kernel module virtio_console: "},
	} {
		broken := modulesDir(t)
		write(t, filepath.Join(broken, "kernel", path), test.data)
		if _, err := loadOrder(broken); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", path, err, test.want)
		}
	}
}

func FuzzModuleDepends(f *testing.F) {
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = moduleDepends(data) })
}
