package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/doctor"
)

func missing(names ...string) []doctor.Item {
	var items []doctor.Item
	for _, name := range names {
		items = append(items, doctor.Item{Name: name, Status: doctor.Missing})
	}
	return items
}

func TestSteps(t *testing.T) {
	t.Parallel()
	everything := missing(doctor.Git, doctor.Docker, doctor.QEMU, doctor.Mmdebstrap, doctor.MkfsExt4, doctor.CACerts, doctor.Iproute, doctor.Kernel)
	stopped := []doctor.Item{{Name: doctor.Docker, Status: doctor.Broken, Cause: doctor.NotRunning}}
	for _, test := range []struct {
		name     string
		items    []doctor.Item
		platform doctor.Platform
		want     []string
	}{
		{"nothing", nil, doctor.Platform{doctor.Debian, "amd64", doctor.Root, doctor.Systemd}, nil},
		{"optional things are left", []doctor.Item{{Name: doctor.QEMU, Status: doctor.Missing, Optional: true}}, doctor.Platform{doctor.Debian, "amd64", doctor.Root, doctor.Systemd}, nil},
		{"Debian, root, container", everything, doctor.Platform{doctor.Debian, "amd64", doctor.Root, doctor.NoManager}, []string{
			"auto: apt-get update",
			"auto: env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates docker.io e2fsprogs git iproute2 mmdebstrap qemu-system-x86",
			"auto: bottle setup   # downloads linux-image-cloud-amd64 and unpacks it",
			"auto: dockerd &",
		}},
		{"Ubuntu, sudo, arm", missing(doctor.Docker, doctor.QEMU, doctor.Kernel), doctor.Platform{doctor.Ubuntu, "arm64", doctor.Sudo, doctor.Systemd}, []string{
			"auto: sudo -n apt-get update",
			"auto: sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io qemu-system-arm",
			"auto: bottle setup   # downloads linux-image-virtual and unpacks it",
			"auto: sudo -n systemctl start docker",
		}},
		{"Debian, no privilege", missing(doctor.Mmdebstrap, doctor.Docker, doctor.Kernel), doctor.Platform{doctor.Debian, "amd64", doctor.None, doctor.Systemd}, []string{
			"hand: sudo apt-get update",
			"hand: sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends docker.io mmdebstrap",
			"auto: bottle setup   # downloads linux-image-cloud-amd64 and unpacks it",
			"hand: sudo systemctl start docker",
		}},
		{"only the kernel, as root", missing(doctor.Kernel), doctor.Platform{doctor.Debian, "arm64", doctor.Root, doctor.Systemd}, []string{
			"auto: apt-get update",
			"auto: bottle setup   # downloads linux-image-cloud-arm64 and unpacks it",
		}},
		{"only the kernel, without root", missing(doctor.Kernel), doctor.Platform{doctor.Debian, "amd64", doctor.None, doctor.Systemd}, []string{
			"auto: bottle setup   # downloads linux-image-cloud-amd64 and unpacks it",
		}},
		{"stopped engine", stopped, doctor.Platform{doctor.Debian, "amd64", doctor.Root, doctor.SysV}, []string{"auto: service docker start"}},
		{"stopped engine, sudo, container", stopped, doctor.Platform{doctor.Debian, "amd64", doctor.Sudo, doctor.NoManager}, []string{"auto: sudo -n dockerd &"}},
		{"stopped engine elsewhere", stopped, doctor.Platform{doctor.Other, "amd64", doctor.Root, doctor.Systemd}, []string{"hand: systemctl start docker"}},
		{"not in the group", []doctor.Item{{Name: doctor.Docker, Status: doctor.Broken, Cause: doctor.NoPermission}}, doctor.Platform{doctor.Debian, "amd64", doctor.Sudo, doctor.Systemd}, []string{
			`hand: sudo usermod -aG docker "$USER"   # then log in again`,
		}},
		{"Fedora", missing(doctor.Docker, doctor.QEMU, doctor.Kernel), doctor.Platform{doctor.Fedora, "amd64", doctor.Root, doctor.Systemd}, []string{
			"hand: dnf install -y moby-engine qemu-system-x86-core",
			"hand: on a Debian system: apt-get download the package that linux-image-cloud-amd64 depends on",
			"hand: then here: dpkg-deb -x linux-image-*.deb DIR, with SMOLVM_LITE_KERNEL=DIR",
			"hand: systemctl start docker",
		}},
		{"macOS", missing(doctor.Git, doctor.Docker, doctor.Smolvm), doctor.Platform{doctor.Darwin, "arm64", doctor.None, doctor.NoManager}, []string{
			"hand: brew install git",
			"hand: brew install --cask docker   # or: brew install colima docker",
			"hand: open -a Docker   # or: colima start",
			"hand: install smolvm 1.8.1 or newer: https://github.com/smol-machines/smolvm",
		}},
		{"old Go and a full disk", []doctor.Item{{Name: doctor.Go, Status: doctor.Broken}, {Name: doctor.Disk, Status: doctor.Broken}}, doctor.Platform{doctor.Debian, "amd64", doctor.Root, doctor.Systemd}, []string{
			"hand: install Go 1.26 or newer: https://go.dev/doc/install",
			"hand: bottle clean   # removes the caches",
		}},
	} {
		var got []string
		for _, step := range doctor.Steps(test.items, test.platform) {
			how := "hand: "
			if step.Auto {
				how = "auto: "
			}
			for _, line := range step.Lines {
				got = append(got, how+line)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestInstallOnAFreshDebian(t *testing.T) {
	t.Parallel()
	f := newHost(t, debian)
	items, err := doctor.Install(t.Context(), f.options())
	if err != nil || !doctor.AllFine(items) {
		t.Fatalf("%v\n%s", err, table(t, items))
	}
	random := regexp.MustCompile(`\.kernel-\d+`)
	for i, line := range f.ran {
		f.ran[i] = random.ReplaceAllString(line, "TEMP")
	}
	want := []string{
		"apt-get update",
		"env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates docker.io e2fsprogs git iproute2 mmdebstrap qemu-system-x86",
		"apt-cache depends linux-image-cloud-amd64",
		"apt-get download linux-image-6.1.0-56-cloud-amd64",
		"dpkg-deb -x ROOT/TEMP/linux-image-6.1.0-56-cloud-amd64_1_amd64.deb ROOT/TEMP/root",
		"detached: dockerd",
	}
	if diff := cmp.Diff(want, f.ran); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	f.ran = nil
	if _, err := doctor.Install(t.Context(), f.options()); err != nil || len(f.ran) != 0 {
		t.Errorf("the second setup ran %q, %v", f.ran, err)
	}
}

func TestInstallOnUbuntuUnpacksTheModulesToo(t *testing.T) {
	t.Parallel()
	f := completeHost(t)
	f.put("/etc/os-release", "ID=ubuntu\nID_LIKE=debian\n")
	if err := os.RemoveAll(filepath.Join(f.root, "kernel")); err != nil {
		t.Fatal(err)
	}
	f.kernel = func(dir string) { // modules in their newer place
		f.unpack(dir, "boot/vmlinuz-6.8.0-45-generic", "usr/lib/modules/6.8.0-45-generic/x")
	}
	items, err := doctor.Install(t.Context(), f.options())
	if err != nil || !strings.Contains(table(t, items), "6.8.0-45-generic") {
		t.Errorf("%v\n%s", err, table(t, items))
	}
	if ran := strings.Join(f.ran, "\n"); !strings.Contains(ran, "apt-get download linux-image-6.8.0-45-generic linux-modules-6.8.0-45-generic") {
		t.Errorf("ran:\n%s", ran)
	}
}

func TestInstallReplacesABrokenKernelWhole(t *testing.T) {
	t.Parallel()
	f := completeHost(t)
	if err := os.RemoveAll(filepath.Join(f.root, "kernel", "lib")); err != nil {
		t.Fatal(err)
	}
	f.unpack(filepath.Join(f.root, "kernel"), "old")
	if _, err := doctor.Install(t.Context(), f.options()); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(f.root, "kernel", "*"))
	if err != nil || len(names) != 2 {
		t.Errorf("the kernel directory has %q", names)
	}
	if left, _ := filepath.Glob(filepath.Join(f.root, ".kernel-*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestInstallErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(f *fakeHost)
		want   string
	}{
		{"apt fails", func(f *fakeHost) { f.fail = "env DEBIAN" }, "setting up packages: env: exit status 100"},
		{
			"download fails", func(f *fakeHost) { f.fail = "apt-get download" },
			"setting up kernel: downloading linux-image-6.1.0-56-cloud-amd64: apt-get: exit status 100",
		},
		{"no such package", func(f *fakeHost) { f.fail = "apt-cache" }, "setting up kernel: looking for linux-image-cloud-amd64: apt-cache: exit status 100"},
		{"half a kernel", func(f *fakeHost) {
			f.kernel = func(dir string) { f.unpack(dir, "boot/vmlinuz-1", "lib/modules/2/x") }
		}, "setting up kernel: unpacking the kernel: vmlinuz-1 has no modules in ROOT"},
		{"no kernel", func(f *fakeHost) {
			f.kernel = func(dir string) { f.unpack(dir, "usr/share/doc/x") }
		}, "setting up kernel: unpacking the kernel: rename ROOT"},
	} {
		f := newHost(t, debian)
		test.change(f)
		_, err := doctor.Install(t.Context(), f.options())
		if got := strings.ReplaceAll(fmt.Sprint(err), f.root, "ROOT"); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
		if left, _ := filepath.Glob(filepath.Join(f.root, ".kernel-*")); len(left) != 0 {
			t.Errorf("%s left behind %q", test.name, left)
		}
		if _, err := os.Stat(filepath.Join(f.root, "kernel")); err == nil {
			t.Errorf("%s left a kernel directory", test.name)
		}
	}
}

func TestDockerThatDoesNotStart(t *testing.T) {
	t.Parallel()
	f := completeHost(t)
	f.engine = false
	ctx, cancel := context.WithCancelCause(t.Context())
	f.onStart = func(log *os.File) {
		fmt.Fprint(log, "one\ntwo\nthree\nfour\nfive\nfailed to start daemon: no iptables\n")
		cancel(errors.New("it did not answer in time")) // instead of 30 s
	}
	_, err := doctor.Install(ctx, f.options())
	want := `setting up docker: starting the Docker Engine: it did not answer in time; its log ROOT/log/dockerd.log ends:
  two
  three
  four
  five
  failed to start daemon: no iptables`
	if got := strings.ReplaceAll(fmt.Sprint(err), f.root, "ROOT"); got != want {
		t.Errorf("got %s", got)
	}
}

// sudo can start the engine, but its socket belongs to the group docker.
func TestEngineThatRefusesThisUser(t *testing.T) {
	t.Parallel()
	f := completeHost(t)
	f.engine, f.uid = false, 1000
	f.programs["sudo"] = ""
	f.onStart = func(*os.File) { f.noEngine = fmt.Errorf("dial: %w", syscall.EACCES) }
	_, err := doctor.Install(t.Context(), f.options())
	var person *doctor.NeedsPersonError
	if !errors.As(err, &person) || fmt.Sprint(person.Lines) != "[sudo usermod -aG docker \"$USER\"   # then log in again]" {
		t.Errorf("%v", err)
	}
}

func TestInstallWithoutPrivilegeSaysWhatToType(t *testing.T) {
	t.Parallel()
	f := newHost(t, debian)
	f.uid = 1000
	_, err := doctor.Install(t.Context(), f.options())
	var person *doctor.NeedsPersonError
	if !errors.As(err, &person) {
		t.Fatal(err)
	}
	if got := err.Error(); got != "this machine lacks what a bottle needs: git, docker, qemu, mkfs.ext4, mmdebstrap, iproute2, ca-certificates" {
		t.Error(got)
	}
	want := []string{
		"sudo apt-get update",
		"sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates docker.io e2fsprogs git iproute2 mmdebstrap qemu-system-x86",
		"sudo dockerd &",
	}
	if diff := cmp.Diff(want, person.HintLines()); diff != "" {
		t.Errorf("hints (-want +got):\n%s", diff)
	}
}
