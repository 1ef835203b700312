package debian_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/imagebuild/debian"
)

// tools plays apt-get and mmdebstrap: a mirror with versions, and what was run.
type tools struct {
	mirror map[string]string // what apt-get would install
	base   map[string]string // what mmdebstrap installs
	fail   error
	ran    []string
}

func (f *tools) run(_ context.Context, cmd execx.Cmd) error {
	name := filepath.Base(cmd.Path)
	switch {
	case name == "apt-config":
		if cmd.Args[2] == "Acquire::http::Proxy" {
			_, _ = io.WriteString(cmd.Stdout, "http://proxy.test:3142\n")
		}
		return nil
	case name == "mmdebstrap" && cmd.Args[0] == "--version":
		_, err := io.WriteString(cmd.Stdout, "mmdebstrap 1.3.5\n")
		return err
	case name == "apt-get" && cmd.Args[0] == "--simulate":
		for _, pkg := range slices.Sorted(maps.Keys(f.mirror)) {
			_, _ = fmt.Fprintf(cmd.Stdout, "Inst %s (%s Debian:12/oldstable [amd64])\nConf %s (%s x)\n", pkg, f.mirror[pkg], pkg, f.mirror[pkg])
		}
	case name == "mmdebstrap":
		_, _ = io.WriteString(cmd.Stderr, "I: installing\n")
		if err := f.writeBase(cmd.Stdout); err != nil {
			return err
		}
	}
	f.ran = append(f.ran, name+" "+strings.Join(cmd.Args, " ")+" <"+strings.Join(cmd.Env, " ")+">")
	return f.fail
}

func (f *tools) writeBase(w io.Writer) error {
	var status strings.Builder
	for _, pkg := range slices.Sorted(maps.Keys(f.base)) {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nVersion: %s\nDescription: x\n Version: 9\n\n", pkg, f.base[pkg])
	}
	status.WriteString("Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n")
	archive := tar.NewWriter(w)
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./var/lib/dpkg/status", Mode: 0o644, Size: int64(status.Len())}); err != nil {
		return err
	}
	if _, err := io.WriteString(archive, status.String()); err != nil {
		return err
	}
	return archive.Close()
}

func host(t *testing.T, f *tools) *debian.Host {
	t.Helper()
	return &debian.Host{
		Root: fstest.MapFS{
			"etc/os-release":       {Data: []byte("ID=debian\nVERSION_CODENAME=\"bookworm\"\n")},
			"etc/apt/sources.list": {Data: []byte("deb http://mirror.test/debian bookworm main\n")},
		},
		Env: []string{"PATH=/usr/bin"}, Dir: t.TempDir(), OS: "linux", Arch: "amd64",
		Run: f.run, Find: func(name string) (string, error) { return "/usr/bin/" + name, nil },
	}
}

func request() debian.Request {
	return debian.Request{Suite: "host", Packages: []string{"git", "curl", "git"}, Arch: "amd64"}
}

func TestResolveAndWrite(t *testing.T) {
	t.Parallel()
	versions := map[string]string{"git": "1:2.39-1", "curl": "7.88", "apt": "2.6"}
	f := &tools{mirror: versions, base: versions}
	h := host(t, f)
	resolved, err := h.Resolve(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(resolved.Suite, resolved.Include, resolved.Versions, resolved.Tool); got != "bookworm[curl git] [apt=2.6 curl=7.88 git=1:2.39-1]mmdebstrap 1.3.5" {
		t.Errorf("resolved %s", got)
	}
	var out bytes.Buffer
	if err := h.Write(t.Context(), resolved, &out); err != nil {
		t.Fatal(err)
	}
	apt := filepath.Join(h.Dir, "apt")
	const env = "PATH=/usr/bin LC_ALL=C.UTF-8 http_proxy=http://proxy.test:3142"
	want := []string{
		"apt-get update --error-on=any -q <" + env + " APT_CONFIG=" + apt + "/apt.conf>",
		"apt-get --simulate -q install ?essential ?priority(required) apt curl git <" + env + " APT_CONFIG=" + apt + "/apt.conf>",
		// The lists of the plan are gone in this test, so they are read again.
		"apt-get update --error-on=any -q <" + env + " APT_CONFIG=" + apt + "/apt.conf>",
		"apt-get --simulate -q install ?essential ?priority(required) apt curl git <" + env + " APT_CONFIG=" + apt + "/apt.conf>",
		"mmdebstrap --mode=root --variant=minbase --format=tar --architectures=amd64 --skip=update --setup-hook=sync-in lists /var/lib/apt/lists --include=curl,git " +
			"--dpkgopt=path-exclude=/usr/share/doc/* --dpkgopt=path-include=/usr/share/doc/*/copyright --dpkgopt=path-exclude=/usr/share/man/* --dpkgopt=path-exclude=/usr/share/info/* " +
			"--dpkgopt=path-exclude=/usr/share/locale/* --dpkgopt=force-unsafe-io bookworm - ./bottle.sources <" + env + " SOURCE_DATE_EPOCH=1767225600>",
	}
	if got := strings.Join(f.ran, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("ran:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	header, err := tar.NewReader(&out).Next()
	if err != nil || header.Name != "var/lib/dpkg/status" {
		t.Errorf("the layer begins with %v, %v", header, err)
	}
	if _, err := os.Stat(apt); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("apt's lists are left: %v", err)
	}
}

func TestListsOfThePlanAreUsed(t *testing.T) {
	t.Parallel()
	versions := map[string]string{"git": "1"}
	f := &tools{mirror: versions, base: versions}
	h := host(t, f)
	resolved, err := h.Resolve(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.Dir, "apt", "lists", "mirror.test_Packages.lz4"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.mirror = map[string]string{"git": "2"} // moves on between plan and build
	if err := h.Write(t.Context(), resolved, io.Discard); err != nil || len(f.ran) != 3 {
		t.Errorf("err = %v, ran %d programs", err, len(f.ran))
	}
}

func TestVersionsMustBeTheResolvedOnes(t *testing.T) {
	t.Parallel()
	one, two := map[string]string{"git": "1"}, map[string]string{"git": "2"}
	for _, test := range []struct {
		name         string
		mirror, base map[string]string
		want         string
	}{
		{name: "mirror", mirror: two, base: two, want: "git=2 is new"},
		{name: "base", mirror: one, base: two, want: "git=2 is new"},
		{name: "fewer", mirror: one, base: nil, want: "0 packages instead of 1"},
	} {
		f := &tools{mirror: one}
		h := host(t, f)
		resolved, err := h.Resolve(t.Context(), request())
		if err != nil {
			t.Fatal(err)
		}
		f.mirror, f.base = test.mirror, test.base
		err = h.Write(t.Context(), resolved, io.Discard)
		want := "making the Debian base: the mirror has other package versions than the plan: " + test.want + "\nmage base chooses a base anew"
		if !errors.Is(err, debian.ErrMoved) || err.Error() != want {
			t.Errorf("%s: err = %v\nwant  %s", test.name, err, want)
		}
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	base := debian.Resolved{Suite: "a", Arch: "b", Include: []string{"c"}, Versions: []string{"d=1"}, Sources: []byte("e"), Tool: "f"}
	keys := map[string]string{base.Key(): "nothing"}
	for name, change := range map[string]func(*debian.Resolved){
		"suite": func(r *debian.Resolved) { r.Suite = "x" }, "arch": func(r *debian.Resolved) { r.Arch = "x" },
		"include": func(r *debian.Resolved) { r.Include = nil }, "versions": func(r *debian.Resolved) { r.Versions = []string{"d=2"} },
		"sources": func(r *debian.Resolved) { r.Sources = nil }, "tool": func(r *debian.Resolved) { r.Tool = "x" },
	} {
		changed := base
		change(&changed)
		if other, same := keys[changed.Key()]; same {
			t.Errorf("%s has the key of %s", name, other)
		}
		keys[changed.Key()] = name
	}
}

func TestWhatTheHostLacks(t *testing.T) {
	t.Parallel()
	missing := func(names ...string) func(string) (string, error) {
		return func(name string) (string, error) {
			if slices.Contains(names, name) {
				return "", execx.ErrNotFound
			}
			return "/usr/bin/" + name, nil
		}
	}
	sub := fstest.MapFS{"etc/subuid": {Data: []byte("me:100000:65536\n")}, "etc/subgid": {Data: []byte("1000:100000:65536\n")}}
	const needs = "making the Debian base: making a Debian base without root needs uidmap with an entry for you in /etc/subuid and /etc/subgid, or fakeroot and fakechroot\n" +
		"sudo apt-get install uidmap, or sudo apt-get install fakeroot fakechroot"
	for _, test := range []struct {
		name   string
		change func(*debian.Host)
		arch   string
		want   string // an error, or the mode
	}{
		{"root", func(*debian.Host) {}, "amd64", "root"},
		{"user namespaces", func(h *debian.Host) { h.UID, h.User, h.Root = 1000, "me", sub }, "amd64", "unshare"},
		{"no entry", func(h *debian.Host) { h.UID, h.User, h.Root, h.Find = 1001, "you", sub, missing("fakeroot") }, "amd64", needs},
		{"no uidmap", func(h *debian.Host) { h.UID, h.User, h.Root, h.Find = 1000, "me", sub, missing("newuidmap") }, "amd64", "fakechroot"},
		{"neither", func(h *debian.Host) {
			h.UID, h.User, h.Root, h.Find = 1000, "me", sub, missing("newuidmap", "fakechroot")
		}, "amd64", needs},
		{"tool", func(h *debian.Host) { h.Find = missing("mmdebstrap") }, "amd64", "making the Debian base: mmdebstrap is not installed\non Debian or Ubuntu: sudo apt-get install mmdebstrap"},
		{"macOS", func(h *debian.Host) { h.OS = "darwin" }, "amd64", "making the Debian base: a Debian base cannot be made on darwin\nuse a registry that answers, or BOTTLE_BASE=docker:NAME"},
		{
			"foreign", func(*debian.Host) {}, "arm64",
			"making the Debian base: a Debian base for arm64 cannot be made on this amd64 host: it cannot run arm64 programs\nsudo apt-get install qemu-user-static, or use a registry that answers",
		},
		{"foreign with an emulator", func(h *debian.Host) {
			h.Root = fstest.MapFS{"proc/sys/fs/binfmt_misc/qemu-aarch64": {}}
		}, "arm64", "root"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &tools{mirror: map[string]string{"git": "1"}, base: map[string]string{"git": "1"}}
			h := host(t, f)
			test.change(h)
			err := h.Write(t.Context(), debian.Resolved{Suite: "bookworm", Arch: test.arch, Versions: []string{"git=1"}}, io.Discard)
			if err == nil {
				last := f.ran[len(f.ran)-1]
				if want := "mmdebstrap --mode=" + test.want + " "; !strings.HasPrefix(last, want) || !strings.Contains(last, " --architectures="+test.arch+" ") {
					t.Errorf("ran %s", last)
				}
				return
			}
			if err.Error() != test.want {
				t.Errorf("err = %v\nwant  %s", err, test.want)
			}
		})
	}
}

func TestFailingToolAndFailingDisk(t *testing.T) {
	t.Parallel()
	f := &tools{mirror: map[string]string{"git": "1"}, base: map[string]string{"git": "1"}}
	h := host(t, f)
	resolved, err := h.Resolve(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left on device")
	err = h.Write(t.Context(), resolved, writer(func([]byte) (int, error) { return 0, full }))
	if !errors.Is(err, full) {
		t.Errorf("err = %v", err)
	}
	f.fail = errors.New("mmdebstrap: exit status 25")
	if _, err := h.Resolve(t.Context(), request()); err == nil || err.Error() != "resolving the packages of the Debian base: mmdebstrap: exit status 25" {
		t.Errorf("err = %v", err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
