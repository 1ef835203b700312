package vm

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/tests/program"
)

func TestInitramfs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kernel := Kernel{Image: filepath.Join(dir, "vmlinuz"), Modules: modulesDir(t)}
	init := filepath.Join(dir, "lite-init")
	write(t, kernel.Image, []byte("kernel"))
	if _, err := Initramfs(dir, kernel, init); err == nil || !strings.HasPrefix(err.Error(), "no guest init program at "+init+"\n") {
		t.Errorf("without init: %v", err)
	}
	write(t, init, []byte("program"))
	make := func(cache string) (string, []byte) {
		t.Helper()
		path, err := Initramfs(filepath.Join(dir, cache), kernel, init)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return path, data
	}
	first, data := make("one")
	if _, again := make("two"); !bytes.Equal(data, again) {
		t.Error("two runs wrote different bytes")
	}
	for _, name := range []string{"init\x00", "modules/00-crc32c_intel.ko\x00", "modules/05-overlay.ko\x00", "TRAILER!!!\x00"} {
		if !bytes.Contains(data, []byte(name)) {
			t.Errorf("%q is missing", name)
		}
	}
	if len(data)%4 != 0 || !bytes.HasPrefix(data, []byte("070701")) {
		t.Errorf("%d bytes that begin with %q", len(data), data[:6])
	}
	write(t, init, []byte("another program"))
	if second, _ := make("one"); second == first {
		t.Error("another init has the same key")
	}
}

// TestCPIOUnpacks asks another implementation, where there is one.
func TestCPIOUnpacks(t *testing.T) {
	t.Parallel()
	if _, err := execx.Find("cpio"); err != nil {
		t.Skip("cpio is not installed")
	}
	var archive bytes.Buffer
	if err := writeInitramfs(&archive, []byte("program"), []module{{"a", []byte("xyz")}}); err != nil {
		t.Fatal(err)
	}
	out, err := execx.Output(t.Context(), execx.Cmd{
		Path: "cpio", Args: []string{"-t", "--quiet"}, Stdin: &archive, Env: os.Environ(),
	})
	if err != nil || string(out) != "modules\ninit\nmodules/00-a.ko\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// probeWith runs a probe whose QEMU is a shell script.
func probeWith(t *testing.T, script string) Prober {
	t.Helper()
	dir := t.TempDir()
	p := Prober{
		CacheDir: filepath.Join(dir, "cache"), Arch: "amd64", QEMU: filepath.Join(dir, "qemu"),
		Kernel: Kernel{Image: filepath.Join(dir, "vmlinuz")}, Device: filepath.Join(dir, "kvm"),
	}
	write(t, p.Kernel.Image, nil)
	write(t, p.Device, nil)
	program.Write(t, p.QEMU, "#!/bin/sh\necho run >> "+dir+"/runs\n"+script)
	return p
}

func TestProbeBelievesOnlyTheConsole(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script string
		want   Accel
	}{
		"answers and stays": {"echo noise; printf lite-pro; printf 'be-ok\\r\\n'; exec sleep 60", KVM},
		"answers and ends":  {"echo lite-probe-ok; exit 1", KVM},
		"fails":             {"echo no kvm >&2; exit 1", TCG},
		"says nothing":      {"exit 0", TCG},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := probeWith(t, test.script)
			if _, ok := p.Cached(); ok {
				t.Error("an answer before the question")
			}
			for range 2 {
				if got, err := p.Probe(t.Context()); got != test.want || err != nil {
					t.Errorf("%s, %v; want %s", got, err, test.want)
				}
			}
			if runs, _ := os.ReadFile(filepath.Join(filepath.Dir(p.QEMU), "runs")); string(runs) != "run\n" {
				t.Errorf("it was asked %d times", bytes.Count(runs, []byte("run")))
			}
			later := time.Now().Add(time.Hour)
			if err := os.Chtimes(p.Kernel.Image, later, later); err != nil {
				t.Fatal(err)
			}
			if _, ok := p.Cached(); ok {
				t.Error("the answer holds for another kernel")
			}
		})
	}
}

func TestProbeWithoutADevice(t *testing.T) {
	t.Parallel()
	p := probeWith(t, "echo lite-probe-ok")
	if err := os.Remove(p.Device); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Probe(t.Context()); got != TCG || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}

func TestProbeThatHangs(t *testing.T) {
	t.Parallel()
	p := probeWith(t, "exec sleep 60")
	p.Limit = 50 * time.Millisecond
	if got, err := p.Probe(t.Context()); got != TCG || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.CacheDir = t.TempDir()
	if _, err := p.Probe(ctx); err == nil {
		t.Error("an interrupted probe gave an answer")
	}
	if _, ok := p.Cached(); ok {
		t.Error("an interrupted probe was remembered")
	}
}
