package host_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bottle.internal/internal/host"
	"bottle.internal/tests/golden"
)

func TestDoctorTable(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*fakeHost{"complete": completeHost(t), "bare": newHost(t, debian)} {
		items := host.Check(t.Context(), f.options())
		golden.Check(t, "testdata/"+name+".golden", strings.ReplaceAll(table(t, items), f.root, "ROOT"))
		if host.AllFine(items) != (name == "complete") {
			t.Errorf("%s: AllFine = %v", name, host.AllFine(items))
		}
		if len(f.ran) != 0 {
			t.Errorf("%s: Check ran %q", name, f.ran)
		}
	}
}

func TestDoctorJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := newHost(t, debian)
	if err := host.WriteJSON(&out, host.Check(t.Context(), f.options())); err != nil {
		t.Fatal(err)
	}
	var items []host.Item
	if err := json.Unmarshal(out.Bytes(), &items); err != nil || len(items) != 12 {
		t.Errorf("%d items, %v", len(items), err)
	}
	golden.Check(t, "testdata/bare.json", strings.ReplaceAll(out.String(), f.root, "ROOT"))
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(f *fakeHost) (env []string)
		item   string
		want   string
	}{
		{
			"old Go", func(f *fakeHost) []string { f.programs["go"] = "go version go1.25.3 linux/amd64"; return nil }, host.Go,
			"broken 1.25.3 Go 1.26 or newer is needed",
		},
		{
			"development Go", func(f *fakeHost) []string { f.programs["go"] = "go version go1.27-devel linux/amd64"; return nil }, host.Go,
			"ok 1.27 /usr/bin/go",
		},
		{
			"engine stopped", func(f *fakeHost) []string { f.engine = false; return nil }, host.Docker,
			"broken  the Docker Engine does not answer",
		},
		{
			"engine refuses us", func(f *fakeHost) []string { f.noEngine = fmt.Errorf("dial: %w", syscall.EACCES); return nil }, host.Docker,
			"broken  this user may not talk to the Docker Engine",
		},
		{"no modules", func(f *fakeHost) []string {
			if err := os.RemoveAll(filepath.Join(f.root, "kernel/lib")); err != nil {
				f.t.Fatal(err)
			}
			return nil
		}, host.Kernel, "broken  vmlinuz-6.1.0-56-cloud-amd64 has no modules in ROOT/kernel/lib/modules"},
		{"newest of two kernels", func(f *fakeHost) []string {
			f.unpack(filepath.Join(f.root, "kernel"), "boot/vmlinuz-6.1.0-9-cloud-amd64", "lib/modules/6.1.0-9-cloud-amd64/x")
			return nil
		}, host.Kernel, "ok 6.1.0-56-cloud-amd64 ROOT/kernel"},
		{
			"full disk", func(f *fakeHost) []string { f.free = 1 << 30; return nil }, host.Disk,
			"broken  1.0 GiB free at /data, 2 GiB are needed",
		},
		{
			"little disk", func(f *fakeHost) []string { f.free = 5 << 30; return nil }, host.Disk,
			"ok  5.0 GiB free at /data, less than 10 GiB is tight",
		},
		{
			"no smolvm", func(*fakeHost) []string { return nil }, host.Smolvm,
			"missing optional  not installed: smolvm-lite takes its place",
		},
		{
			"smolvm", func(f *fakeHost) []string { f.programs["smolvm"] = "smolvm 1.9.3"; return nil }, host.Smolvm,
			"ok 1.9.3 /usr/bin/smolvm",
		},
		{"qemu beside smolvm", func(f *fakeHost) []string {
			f.programs["smolvm"] = "smolvm 1.9.3"
			delete(f.programs, "qemu-system-x86_64")
			return nil
		}, host.QEMU, "missing optional  qemu-system-x86_64 is not on PATH"},
		{"qemu beside smolvm-lite", func(f *fakeHost) []string {
			f.programs["smolvm-lite"] = "smolvm-lite 1.9.3"
			delete(f.programs, "qemu-system-x86_64")
			return []string{"BOTTLE_SMOLVM=/opt/smolvm-lite"}
		}, host.QEMU, "missing  qemu-system-x86_64 is not on PATH"},
		{
			"wrong BOTTLE_SMOLVM", func(*fakeHost) []string { return []string{"BOTTLE_SMOLVM=/opt/vm"} }, host.Smolvm,
			`broken  BOTTLE_SMOLVM names "/opt/vm", which is no program`,
		},
		{"no kvm", func(f *fakeHost) []string {
			if err := os.Remove(filepath.Join(f.root, "dev/kvm")); err != nil {
				f.t.Fatal(err)
			}
			return nil
		}, host.KVM, "missing optional  no /dev/kvm: machines are emulated, which is slower"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := completeHost(t)
			env := test.change(f)
			for _, item := range host.Check(t.Context(), f.options(env...)) {
				if item.Name != test.item {
					continue
				}
				optional := ""
				if item.Optional && item.Status != host.OK {
					optional = " optional"
				}
				got := strings.ReplaceAll(fmt.Sprintf("%s%s %s %s", item.Status, optional, item.Version, item.Detail), f.root, "ROOT")
				if got != test.want {
					t.Errorf("\n got %s\nwant %s", got, test.want)
				}
				return
			}
			t.Errorf("no item %s", test.item)
		})
	}
}

func TestDetect(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		release string
		change  func(f *fakeHost)
		want    host.Platform
	}{
		"debian, root, container": {debian, func(*fakeHost) {}, host.Platform{host.Debian, "amd64", host.Root, host.NoManager}},
		"debian-like": {
			"ID=raspbian\nID_LIKE=debian\n", func(f *fakeHost) { f.put("/run/systemd/system/x", "") },
			host.Platform{host.Debian, "amd64", host.Root, host.Systemd},
		},
		"ubuntu-like": {
			"ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", func(f *fakeHost) { f.uid = 1000 },
			host.Platform{host.Ubuntu, "amd64", host.None, host.NoManager},
		},
		"sudo": {
			"ID=ubuntu\nID_LIKE=debian\n", func(f *fakeHost) { f.uid = 1000; f.programs["sudo"] = "" },
			host.Platform{host.Ubuntu, "amd64", host.Sudo, host.NoManager},
		},
		"sudo that asks": {
			debian, func(f *fakeHost) { f.uid = 1000; f.programs["sudo"] = ""; f.fail = "sudo -n true" },
			host.Platform{host.Debian, "amd64", host.None, host.NoManager},
		},
		"sysv": {
			debian, func(f *fakeHost) { f.put("/proc/1/comm", "init\n"); f.put("/etc/init.d/docker", "") },
			host.Platform{host.Debian, "amd64", host.Root, host.SysV},
		},
		"fedora":  {"NAME=\"Fedora Linux\"\nID=fedora\n", func(*fakeHost) {}, host.Platform{host.Fedora, "amd64", host.Root, host.NoManager}},
		"unknown": {"", func(*fakeHost) {}, host.Platform{host.Other, "amd64", host.Root, host.NoManager}},
		"mac":     {"", func(f *fakeHost) { f.goos = "darwin" }, host.Platform{host.Darwin, "amd64", host.None, host.NoManager}},
	} {
		f := newHost(t, test.release)
		test.change(f)
		if got := host.Detect(t.Context(), f.options()); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// A release carries its programs, and needs no Go.
func TestGoIsForACheckout(t *testing.T) {
	t.Parallel()
	f := completeHost(t)
	delete(f.programs, "go")
	options := f.options()
	for _, prebuilt := range []bool{false, true} {
		options.Prebuilt = prebuilt
		if fine := host.AllFine(host.Check(t.Context(), options)); fine != prebuilt {
			t.Errorf("prebuilt %v, no Go: fine is %v", prebuilt, fine)
		}
	}
}

func TestMacNeedsSmolvmAndNoQEMU(t *testing.T) {
	t.Parallel()
	f := newHost(t, "")
	f.goos = "darwin"
	f.programs["git"] = "git version 2.50.1 (Apple Git-155)"
	var needed []string
	for _, item := range host.Check(t.Context(), f.options()) {
		if item.Needed() {
			needed = append(needed, item.Name)
		}
	}
	if fmt.Sprint(needed) != "[docker smolvm]" {
		t.Errorf("needed: %v", needed)
	}
	var person *host.NeedsPersonError
	if _, err := host.Install(t.Context(), f.options()); !errors.As(err, &person) || len(f.ran) != 0 {
		t.Errorf("%v after %q", err, f.ran)
	}
}
