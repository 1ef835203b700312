package doctor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"bottle.internal/internal/doctor"
	"bottle.internal/internal/execx"
)

const debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n"

// fakeHost is a machine with the named programs. apt-get install adds programs, the
// way packages do.
type fakeHost struct {
	t        *testing.T
	root     string
	goos     string
	uid      int
	mu       sync.Mutex
	programs map[string]string // name to what it prints as its version
	engine   bool
	ran      []string
	fail     string // a command that begins so fails
	free     uint64
	noEngine error
	kernel   func(dir string) // what dpkg-deb unpacks
	onStart  func(log *os.File)
}

func newHost(t *testing.T, release string) *fakeHost {
	t.Helper()
	f := &fakeHost{t: t, root: t.TempDir(), goos: "linux", free: 50 << 30, programs: map[string]string{
		"go": "go version go1.26.8 linux/amd64", "apt-get": "", "apt-cache": "", "dpkg-deb": "",
	}}
	f.kernel = func(dir string) {
		f.unpack(dir, "boot/vmlinuz-6.1.0-56-cloud-amd64", "lib/modules/6.1.0-56-cloud-amd64/kernel/virtio.ko")
	}
	f.put("/etc/os-release", release)
	return f
}

// complete has everything.
func completeHost(t *testing.T) *fakeHost {
	t.Helper()
	f := newHost(t, debian)
	f.install("git", "docker.io", "qemu-system-x86", "mmdebstrap", "e2fsprogs", "ca-certificates", "iproute2")
	f.engine = true
	f.kernel(filepath.Join(f.root, "kernel"))
	f.put("/dev/kvm", "")
	return f
}

func (f *fakeHost) options(env ...string) doctor.Options {
	return doctor.Options{
		KernelDir: filepath.Join(f.root, "kernel"), DataDir: "/data", LogDir: filepath.Join(f.root, "log"), Env: env,
		System: &doctor.System{
			GOOS: f.goos, GOARCH: "amd64", UID: f.uid, Root: f.root,
			Find: f.find, Run: f.run, Start: f.start, Engine: f.version,
			Free: func(string) (uint64, error) { return f.free, nil },
		},
	}
}

func (f *fakeHost) put(name, text string) {
	path := filepath.Join(f.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fakeHost) unpack(dir string, names ...string) {
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fakeHost) find(name string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.programs[filepath.Base(name)]; !ok {
		return "", fmt.Errorf("%s: %w", name, execx.ErrNotFound)
	}
	return "/usr/bin/" + filepath.Base(name), nil
}

func (f *fakeHost) version(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.noEngine != nil {
		return "", f.noEngine
	}
	if !f.engine {
		return "", errors.New("cannot connect")
	}
	return "20.10.24", nil
}

func (f *fakeHost) install(packages ...string) {
	for _, name := range packages {
		switch name {
		case "git":
			f.programs["git"] = "git version 2.39.5"
		case "docker.io":
			f.programs["dockerd"] = ""
		case "qemu-system-x86":
			f.programs["qemu-system-x86_64"] = "QEMU emulator version 7.2.22 (Debian 1:7.2)"
		case "mmdebstrap":
			f.programs["mmdebstrap"] = "mmdebstrap 1.3.5"
		case "e2fsprogs":
			f.programs["mkfs.ext4"] = "mke2fs 1.47.0 (5-Feb-2023)"
		case "iproute2":
			f.programs["ip"] = "ip utility, iproute2-6.1.0, libbpf 1.1.2"
		case "ca-certificates":
			f.put("/etc/ssl/certs/ca-certificates.crt", "")
		}
	}
}

func (f *fakeHost) run(_ context.Context, command doctor.Command) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	line := strings.Join(command.Args, " ")
	if slices.Contains([]string{"--version", "-V", "version"}, command.Args[len(command.Args)-1]) {
		return []byte(f.programs[filepath.Base(command.Args[0])]), nil
	}
	f.ran = append(f.ran, strings.ReplaceAll(line, f.root, "ROOT"))
	if f.fail != "" && strings.HasPrefix(line, f.fail) {
		return nil, fmt.Errorf("%s: exit status 100", command.Args[0])
	}
	args := command.Args
	if args[0] == "sudo" {
		args = args[2:]
	}
	switch {
	case args[0] == "env":
		f.install(args[6:]...)
	case args[0] == "apt-cache" && args[2] == "linux-image-virtual":
		return []byte("linux-image-virtual\n  Depends: linux-image-6.8.0-45-generic\n"), nil
	case args[0] == "apt-cache":
		return []byte("linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n"), nil
	case strings.HasPrefix(line, "apt-get download"):
		for _, name := range args[2:] {
			f.unpack(command.Dir, name+"_1_amd64.deb")
		}
	case args[0] == "dpkg-deb":
		f.kernel(args[3])
	case args[0] == "systemctl" || args[0] == "service":
		f.engine = true
	}
	return nil, nil
}

func (f *fakeHost) start(args []string, log *os.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ran = append(f.ran, "detached: "+strings.Join(args, " "))
	if f.onStart != nil {
		f.onStart(log)
		return nil
	}
	f.engine = true
	return nil
}

func table(t *testing.T, items []doctor.Item) string {
	t.Helper()
	var out bytes.Buffer
	if err := doctor.WriteTable(&out, items); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
