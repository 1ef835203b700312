//go:build linux && integration

package cli_test

import (
	"archive/tar"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/lite/vm"
	"bottle.internal/tests/fakeimage"
	"bottle.internal/tests/need"
	"bottle.internal/tests/shortdir"
)

// TestRealVM holds the same assertions against real machines.
func TestRealVM(t *testing.T) {
	cache := t.TempDir() // shared: the accelerator is probed once
	for name, run := range lifecycles() {
		t.Run(name, func(t *testing.T) { run(t, newVMWorld(t, cache)) })
	}
	t.Run("uses", func(t *testing.T) {
		w := newVMWorld(t, cache)
		w.upForUses(t)
		for name, run := range uses() {
			t.Run(name, func(t *testing.T) { run(t, w) })
		}
	})
	t.Run("guest system", func(t *testing.T) { testGuestSystem(t, newVMWorld(t, cache)) })
	t.Run("unreachable", func(t *testing.T) { testUnreachable(t, newVMWorld(t, cache)) })
	t.Run("archive", func(t *testing.T) { testArchive(t, newVMWorld(t, cache)) })
	t.Run("figures", func(t *testing.T) { testFigures(t, newVMWorld(t, cache)) })
}

func newVMWorld(t *testing.T, cache string) *world {
	t.Helper()
	kernel := os.Getenv("SMOLVM_LITE_KERNEL")
	if kernel == "" {
		data := os.Getenv("XDG_DATA_HOME")
		if data == "" {
			data = filepath.Join(os.Getenv("HOME"), ".local/share")
		}
		kernel = filepath.Join(data, "smolvm-lite/kernel")
	}
	_, err := vm.FindKernel(kernel)
	need.Need(t, "vm", err)
	_, err = vm.FindQEMU("amd64")
	need.Need(t, "vm", err)

	dir := shortdir.New(t)
	bin := filepath.Join(dir, "bin")
	err = execx.Run(t.Context(), execx.Cmd{
		Path: "go", Env: append(os.Environ(), "CGO_ENABLED=0"),
		Args: []string{"build", "-trimpath", "-o", bin + "/", "bottle.internal/cmd/smolvm-lite", "bottle.internal/cmd/lite-init"},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		dir: dir, program: filepath.Join(bin, "smolvm-lite"), tool: "/bin/guest-tool",
		guestDir: "/var/test", patience: 3 * time.Minute,
		env: []string{
			"PATH=" + os.Getenv("PATH"), "SMOLVM_LITE_KERNEL=" + kernel,
			"XDG_DATA_HOME=" + filepath.Join(dir, "data"), "XDG_CACHE_HOME=" + cache, "TERM=vt100",
		},
	}
	w.pack(t, emptyImage(t, []string{"/bin/sleep", "1000"}, hostPrograms(t)))
	w.cleanup(t)
	return w
}

// hostPrograms makes a layer of the host's own shell and tools, with their libraries.
func hostPrograms(t *testing.T) v1.Layer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"bin/guest-tool": self}
	for name := range strings.FieldsSeq("sh cat echo sleep head tr wc sha256sum stty mkdir ls stat mkfifo true uname id mount") {
		path, err := execx.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		files["bin/"+name] = path
	}
	library := regexp.MustCompile(`(/\S+) \(0x`)
	for _, path := range slices.Collect(maps.Values(files)) {
		out, err := execx.Output(t.Context(), execx.Cmd{Path: "ldd", Args: []string{path}, Env: os.Environ()})
		if err != nil {
			continue // static
		}
		for _, match := range library.FindAllStringSubmatch(string(out), -1) {
			files[strings.TrimPrefix(match[1], "/")] = match[1]
		}
	}
	return layerOf(t, files)
}

// layerOf puts files of the host at the given names.
func layerOf(t *testing.T, files map[string]string) v1.Layer {
	t.Helper()
	entries := []fakeimage.File{
		{Header: tar.Header{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755}}, {Header: tar.Header{Name: "usr/", Typeflag: tar.TypeDir, Mode: 0o755}},
	}
	for name, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, fakeimage.File{Header: tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755}, Content: string(data)})
	}
	return fakeimage.Layer(t, entries...)
}

// testGuestSystem looks at what only a real machine has.
func testGuestSystem(t *testing.T, w *world) {
	w.up(t, "box")
	for script, want := range map[string]string{
		"ls /sys/class/net":                       "lo\n",
		"uname -n; id -u; cat /proc/1/comm":       "box\n0\ninit\n",
		"cat /etc/hosts":                          "127.0.0.1 localhost\n::1 localhost\n",
		"stat -c %a / /tmp /run /workspace":       "755\n1777\n755\n755\n",
		"cat /proc/sys/kernel/hostname":           "box\n",
		"stat -f -c %T / /tmp /run /dev/shm":      "overlayfs\ntmpfs\ntmpfs\ntmpfs\n",
		"echo x > /lower 2>&1; ls /modules /init": "", // nothing of the initramfs is left in sight
	} {
		r := w.sh(t, "box", script)
		if r.stdout != want {
			t.Errorf("%s: %q (%s), want %q", script, r.stdout, r.stderr, want)
		}
	}
	// Orphans are PID 1's to reap: none may stay a zombie.
	w.sh(t, "box", "for i in 1 2 3 4 5; do (sleep 0.05 &) ; done; sleep 0.3")
	check(t, w.sh(t, "box", "cat /proc/[0-9]*/stat | while read a b c d; do case $c in Z) echo zombie;; esac; done"), result{})
	got := w.must(t, "--version")
	if !strings.HasPrefix(got, "smolvm-lite 1.9.3\nqemu stand-in, accelerator ") || strings.Contains(got, "unknown") {
		t.Errorf("--version: %q", got)
	}
	// Else its clock runs at any speed in one boot of ten on a busy host.
	told := strings.Contains(w.sh(t, "box", "cat /proc/cmdline").stdout, " tsc_early_khz=")
	if want := runtime.GOARCH == "amd64" && strings.Contains(got, "accelerator tcg"); told != want {
		t.Errorf("the guest is told how fast its counter runs: %t, want %t", told, want)
	}
}

// testUnreachable stops QEMU without ending it: the machine is there and does not answer.
func testUnreachable(t *testing.T, w *world) {
	w.up(t, "a")
	qemu := w.qemuOf(t, "a")
	qemu.Signal(syscall.SIGSTOP)
	if got := w.state(t, "a"); got.State != "unreachable" || got.PID == nil {
		t.Errorf("ls says %+v", got)
	}
	w.must(t, "machine", "delete", "--name", "a", "--force")
	if qemu.Alive() {
		t.Error("QEMU outlived delete")
	}
}

func testArchive(t *testing.T, w *world) {
	image := emptyImage(t, nil, hostPrograms(t))
	path := w.archive(t, image)
	w.must(t, "machine", "create", "--name", "a", "--image", path, "--cpus", "1", "--mem", "384", "--overlay", "1")
	w.must(t, "machine", "start", "--name", "a")
	check(t, w.sh(t, "a", "echo bare"), result{stdout: "bare\n"})
}

// testFigures measures and asserts nothing: other work on the host would fail it.
func testFigures(t *testing.T, w *world) {
	w.must(t, "machine", "create", "--name", "a", "--from", w.artifact, "--overlay", "1")
	begin := time.Now()
	w.must(t, "machine", "start", "--name", "a")
	start := time.Since(begin)
	w.must(t, "machine", "exec", "--name", "a", "--", "true")
	t.Logf("start %v, start to first exec %v", start, time.Since(begin))
	const n = 20
	for _, args := range [][]string{{"machine", "ls"}, {"machine", "exec", "--name", "a", "--", "true"}} {
		begin := time.Now()
		for range n {
			w.must(t, args...)
		}
		t.Logf("%v: %v each", args, time.Since(begin)/n)
	}
	begin = time.Now()
	w.must(t, "machine", "stop", "--name", "a")
	t.Logf("stop %v", time.Since(begin))
}
