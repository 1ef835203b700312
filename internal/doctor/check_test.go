package doctor_test

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

	"bottle.internal/internal/doctor"
	"bottle.internal/tests/golden"
)

func TestDoctorTable(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*fakeHost{"complete": completeHost(t), "bare": newHost(t, debian)} {
		items := doctor.Check(t.Context(), f.options())
		golden.Check(t, "testdata/"+name+".golden", strings.ReplaceAll(table(t, items), f.root, "ROOT"))
		if doctor.AllFine(items) != (name == "complete") {
			t.Errorf("%s: AllFine = %v", name, doctor.AllFine(items))
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
	if err := doctor.WriteJSON(&out, doctor.Check(t.Context(), f.options())); err != nil {
		t.Fatal(err)
	}
	var items []doctor.Item
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
			"old Go", func(f *fakeHost) []string { f.programs["go"] = "go version go1.25.3 linux/amd64"; return nil }, doctor.Go,
			"broken 1.25.3 Go 1.26 or newer is needed",
		},
		{
			"development Go", func(f *fakeHost) []string { f.programs["go"] = "go version go1.27-devel linux/amd64"; return nil }, doctor.Go,
			"ok 1.27 /usr/bin/go",
		},
		{
			"engine stopped", func(f *fakeHost) []string { f.engine = false; return nil }, doctor.Docker,
			"broken  the Docker Engine does not answer",
		},
		{
			"engine refuses us", func(f *fakeHost) []string { f.noEngine = fmt.Errorf("dial: %w", syscall.EACCES); return nil }, doctor.Docker,
			"broken  this user may not talk to the Docker Engine",
		},
		{"no modules", func(f *fakeHost) []string {
			if err := os.RemoveAll(filepath.Join(f.root, "kernel/lib")); err != nil {
				f.t.Fatal(err)
			}
			return nil
		}, doctor.Kernel, "broken  vmlinuz-6.1.0-56-cloud-amd64 has no modules in ROOT/kernel/lib/modules"},
		{"newest of two kernels", func(f *fakeHost) []string {
			f.unpack(filepath.Join(f.root, "kernel"), "boot/vmlinuz-6.1.0-9-cloud-amd64", "lib/modules/6.1.0-9-cloud-amd64/x")
			return nil
		}, doctor.Kernel, "ok 6.1.0-56-cloud-amd64 ROOT/kernel"},
		{
			"full disk", func(f *fakeHost) []string { f.free = 1 << 30; return nil }, doctor.Disk,
			"broken  1.0 GiB free at /data, 2 GiB are needed",
		},
		{
			"little disk", func(f *fakeHost) []string { f.free = 5 << 30; return nil }, doctor.Disk,
			"ok  5.0 GiB free at /data, less than 10 GiB is tight",
		},
		{
			"no smolvm", func(*fakeHost) []string { return nil }, doctor.Smolvm,
			"missing optional  not installed: smolvm-lite takes its place",
		},
		{
			"smolvm", func(f *fakeHost) []string { f.programs["smolvm"] = "smolvm 1.9.3"; return nil }, doctor.Smolvm,
			"ok 1.9.3 /usr/bin/smolvm",
		},
		{"qemu beside smolvm", func(f *fakeHost) []string {
			f.programs["smolvm"] = "smolvm 1.9.3"
			delete(f.programs, "qemu-system-x86_64")
			return nil
		}, doctor.QEMU, "missing optional  qemu-system-x86_64 is not on PATH"},
		{"qemu beside smolvm-lite", func(f *fakeHost) []string {
			f.programs["smolvm-lite"] = "smolvm-lite 1.9.3"
			delete(f.programs, "qemu-system-x86_64")
			return []string{"BOTTLE_SMOLVM=/opt/smolvm-lite"}
		}, doctor.QEMU, "missing  qemu-system-x86_64 is not on PATH"},
		{
			"wrong BOTTLE_SMOLVM", func(*fakeHost) []string { return []string{"BOTTLE_SMOLVM=/opt/vm"} }, doctor.Smolvm,
			`broken  BOTTLE_SMOLVM names "/opt/vm", which is no program`,
		},
		{"no kvm", func(f *fakeHost) []string {
			if err := os.Remove(filepath.Join(f.root, "dev/kvm")); err != nil {
				f.t.Fatal(err)
			}
			return nil
		}, doctor.KVM, "missing optional  no /dev/kvm: machines are emulated, which is slower"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := completeHost(t)
			env := test.change(f)
			for _, item := range doctor.Check(t.Context(), f.options(env...)) {
				if item.Name != test.item {
					continue
				}
				optional := ""
				if item.Optional && item.Status != doctor.OK {
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
		want    doctor.Platform
	}{
		"debian, root, container": {debian, func(*fakeHost) {}, doctor.Platform{doctor.Debian, "amd64", doctor.Root, doctor.NoManager}},
		"debian-like": {
			"ID=raspbian\nID_LIKE=debian\n", func(f *fakeHost) { f.put("/run/systemd/system/x", "") },
			doctor.Platform{doctor.Debian, "amd64", doctor.Root, doctor.Systemd},
		},
		"ubuntu-like": {
			"ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", func(f *fakeHost) { f.uid = 1000 },
			doctor.Platform{doctor.Ubuntu, "amd64", doctor.None, doctor.NoManager},
		},
		"sudo": {
			"ID=ubuntu\nID_LIKE=debian\n", func(f *fakeHost) { f.uid = 1000; f.programs["sudo"] = "" },
			doctor.Platform{doctor.Ubuntu, "amd64", doctor.Sudo, doctor.NoManager},
		},
		"sudo that asks": {
			debian, func(f *fakeHost) { f.uid = 1000; f.programs["sudo"] = ""; f.fail = "sudo -n true" },
			doctor.Platform{doctor.Debian, "amd64", doctor.None, doctor.NoManager},
		},
		"sysv": {
			debian, func(f *fakeHost) { f.put("/proc/1/comm", "init\n"); f.put("/etc/init.d/docker", "") },
			doctor.Platform{doctor.Debian, "amd64", doctor.Root, doctor.SysV},
		},
		"fedora":  {"NAME=\"Fedora Linux\"\nID=fedora\n", func(*fakeHost) {}, doctor.Platform{doctor.Fedora, "amd64", doctor.Root, doctor.NoManager}},
		"unknown": {"", func(*fakeHost) {}, doctor.Platform{doctor.Other, "amd64", doctor.Root, doctor.NoManager}},
		"mac":     {"", func(f *fakeHost) { f.goos = "darwin" }, doctor.Platform{doctor.Darwin, "amd64", doctor.None, doctor.NoManager}},
	} {
		f := newHost(t, test.release)
		test.change(f)
		if got := doctor.Detect(t.Context(), f.options()); got != test.want {
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
		if fine := doctor.AllFine(doctor.Check(t.Context(), options)); fine != prebuilt {
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
	for _, item := range doctor.Check(t.Context(), f.options()) {
		if item.Needed() {
			needed = append(needed, item.Name)
		}
	}
	if fmt.Sprint(needed) != "[docker smolvm]" {
		t.Errorf("needed: %v", needed)
	}
	var person *doctor.NeedsPersonError
	if _, err := doctor.Install(t.Context(), f.options()); !errors.As(err, &person) || len(f.ran) != 0 {
		t.Errorf("%v after %q", err, f.ran)
	}
}
