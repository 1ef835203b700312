//go:build linux

package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/lite/pack"
	"bottle.internal/tests/shortdir"
)

// world is where a scenario runs: with a fake QEMU always, with a real one in the
// integration tests. The assertions are the same, which keeps the fake honest.
type world struct {
	dir      string // of the host
	program  string // smolvm-lite
	env      []string
	artifact string // a .smolmachine whose workload idles
	tool     string // path of guest-tool in the guest
	guestDir string // a directory of the guest that the scenario may fill
	patience time.Duration
}

// newFakeWorld needs no root, no QEMU and no network.
func newFakeWorld(t *testing.T) *world {
	t.Helper()
	dir := shortdir.New(t)
	bin, kernel := filepath.Join(dir, "bin"), filepath.Join(dir, "kernel")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{bin, filepath.Join(kernel, "boot"), filepath.Join(kernel, "lib/modules/6.1/kernel")} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"smolvm-lite", "qemu-system-x86_64", "qemu-system-aarch64", "mkfs.ext4", "guest-tool"} {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(kernel, "boot/vmlinuz-6.1"), "kernel")
	builtin := "virtio_pci.ko\nvirtio_blk.ko\nvirtio_console.ko\next4.ko\noverlay.ko\n"
	writeFile(t, filepath.Join(kernel, "lib/modules/6.1/modules.builtin"), builtin)
	writeFile(t, filepath.Join(bin, "lite-init"), "init")
	w := &world{
		dir: dir, program: filepath.Join(bin, "smolvm-lite"), tool: filepath.Join(bin, "guest-tool"),
		guestDir: filepath.Join(dir, "guest"), patience: 20 * time.Second,
		env: []string{
			"PATH=" + bin + ":/usr/bin:/bin", "LITE_TEST_BIN=" + bin, "SMOLVM_LITE_KERNEL=" + kernel,
			"XDG_DATA_HOME=" + filepath.Join(dir, "data"), "XDG_CACHE_HOME=" + filepath.Join(dir, "cache"),
			"TERM=vt100", "GORACE=atexit_sleep_ms=0", // see exit
		},
	}
	w.pack(t, emptyImage(t, []string{w.tool, "idle"}))
	w.cleanup(t)
	return w
}

// cleanup leaves no process behind, however the test ends.
func (w *world) cleanup(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		for _, m := range w.list(context.Background(), t) {
			_ = w.run(context.Background(), call{args: []string{"machine", "delete", "--force", "--name", m.Name}})
		}
	})
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func emptyImage(t *testing.T, cmd []string, layers ...v1.Layer) v1.Image {
	t.Helper()
	return imageFor(t, runtime.GOARCH, cmd, layers...)
}

func imageFor(t *testing.T, arch string, cmd []string, layers ...v1.Layer) v1.Image {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Config = v1.Config{Cmd: cmd, Env: []string{"IMAGE=1", "OVER=image"}, WorkingDir: "/"}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

// pack makes the artifact without the detour over a registry.
func (w *world) pack(t *testing.T, image v1.Image) {
	t.Helper()
	w.packFor(t, runtime.GOARCH, image)
}

func (w *world) packFor(t *testing.T, arch string, image v1.Image) {
	t.Helper()
	w.artifact = filepath.Join(w.dir, "image"+pack.Extension)
	options := pack.Options{
		Ref: "127.0.0.1:1/test", Output: strings.TrimSuffix(w.artifact, pack.Extension),
		Platform: "linux/" + arch, CPUs: 1, MemMiB: 384, StagingDir: w.dir, Version: "1.9.3",
	}
	if _, err := pack.Write(t.Context(), image, options); err != nil {
		t.Fatal(err)
	}
}

// archive writes the image as 'docker save' does.
func (w *world) archive(t *testing.T, image v1.Image) string {
	t.Helper()
	tag, err := name.NewTag("test.test/image:1")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "archive.tar")
	if err := tarball.WriteToFile(path, tag, image); err != nil {
		t.Fatal(err)
	}
	return path
}

// call is one run of smolvm-lite.
type call struct {
	args  []string
	stdin io.Reader
}

// result is how it ended.
type result struct {
	stdout, stderr string
	code           int
	err            error // set when it did not exit by itself
}

func (w *world) run(ctx context.Context, c call) result {
	var stdout, stderr bytes.Buffer
	err := execx.Run(ctx, execx.Cmd{
		Path: w.program, Args: c.args, Env: w.env, Stdin: c.stdin, Stdout: &stdout, Stderr: &stderr,
	})
	r := result{stdout: stdout.String(), stderr: stderr.String()}
	var exit *execx.ExitError
	switch {
	case errors.As(err, &exit) && exit.Code >= 0:
		r.code = exit.Code
	case err != nil:
		r.code, r.err = -1, err
	}
	return r
}

// lite runs a command line without stdin.
func (w *world) lite(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), w.patience)
	defer cancel()
	return w.run(ctx, call{args: args})
}

// must runs what may not fail and returns its stdout.
func (w *world) must(t *testing.T, args ...string) string {
	t.Helper()
	r := w.lite(t, args...)
	if r.code != 0 || r.err != nil {
		t.Fatalf("smolvm-lite %q: code %d, %v\n%s%s", args, r.code, r.err, r.stdout, r.stderr)
	}
	return r.stdout
}

// sh runs a shell command in the machine.
func (w *world) sh(t *testing.T, machine, script string) result {
	t.Helper()
	return w.lite(t, "machine", "exec", "--name", machine, "--", "/bin/sh", "-c", script)
}

// up creates and starts a machine.
func (w *world) up(t *testing.T, machine string, flags ...string) {
	t.Helper()
	w.must(t, append([]string{"machine", "create", "--name", machine, "--from", w.artifact, "--overlay", "1"}, flags...)...)
	w.must(t, "machine", "start", "--name", machine)
}

// listed is a part of the JSON.
type listed struct {
	Name, State string
	PID         *int
}

func (w *world) list(ctx context.Context, t *testing.T) []listed {
	t.Helper()
	r := w.run(ctx, call{args: []string{"machine", "ls", "--json"}})
	var all []listed
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil {
		t.Errorf("machine ls --json: %v\n%s%s", err, r.stdout, r.stderr)
	}
	return all
}

func (w *world) state(t *testing.T, machine string) listed {
	t.Helper()
	for _, m := range w.list(t.Context(), t) {
		if m.Name == machine {
			return m
		}
	}
	return listed{State: "(not listed)"}
}

func (w *world) pid(t *testing.T, machine string) int {
	t.Helper()
	m := w.state(t, machine)
	if m.PID == nil {
		t.Fatalf("machine %s has no pid: %+v", machine, m)
	}
	return *m.PID
}

// check compares a whole result.
func check(t *testing.T, got result, want result) {
	t.Helper()
	if got != want {
		t.Errorf("got  %+q code %d %v\nwant %+q code %d", []string{got.stdout, got.stderr}, got.code, got.err,
			[]string{want.stdout, want.stderr}, want.code)
	}
}
