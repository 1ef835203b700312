//go:build linux

package guest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/lite/wire"
)

// What a guest does as a whole is tested through the command line: see package cli.

func TestMergeEnv(t *testing.T) {
	t.Parallel()
	got := mergeEnv([]string{"PATH=/bin", "A=1", "B=2", "junk", "=x"}, []string{"A=3", "C=", "A=4", "D=a=b"})
	if diff := cmp.Diff([]string{"PATH=/bin", "A=4", "B=2", "C=", "D=a=b"}, got); diff != "" {
		t.Error(diff)
	}
	if got := lookupEnv(got, "D"); got != "a=b" {
		t.Errorf("D is %q", got)
	}
	if got := lookupEnv(got, "PAT"); got != "" {
		t.Errorf("PAT is %q", got)
	}
}

func TestLookPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"a/tool": 0o755, "b/tool": 0o755, "a/data": 0o644, "a/dir/x": 0o755} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "none") + ":" + filepath.Join(dir, "b") + ":a"
	for name, want := range map[string]string{
		"tool": filepath.Join(dir, "b/tool"), "./a/tool": filepath.Join(dir, "a/tool"), "/x/y": "/x/y",
	} {
		if got, err := lookPath(name, dir, path); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]error{"nothing": syscall.ENOENT, "data": syscall.EACCES, "dir": syscall.ENOENT} {
		if _, err := lookPath(name, dir, path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if got := osError(&os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}); got != "Permission denied (os error 13)" {
		t.Errorf("%q", got)
	}
}

func TestStdinBufferKeepsTheWindow(t *testing.T) {
	t.Parallel()
	b := newStdinBuffer()
	chunk := make([]byte, wire.MaxData)
	for range wire.StdinWindow / wire.MaxData {
		if err := b.write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.write([]byte("x")); !errors.Is(err, wire.ErrProtocol) {
		t.Errorf("one byte too many: %v", err)
	}
	b.end()
	total := 0
	for {
		n, err := b.next(chunk)
		if total += n; err != nil {
			break
		}
	}
	if total != wire.StdinWindow {
		t.Errorf("%d bytes came out", total)
	}
}

func TestFindPort(t *testing.T) {
	t.Parallel()
	class := t.TempDir()
	for port, name := range map[string]string{"vport0p1": "other\n", "vport1p1": PortName + "\n"} {
		if err := os.MkdirAll(filepath.Join(class, port), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, port, "name"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := findPort(class); got != "/dev/vport1p1" {
		t.Errorf("%q", got)
	}
	if got := findPort(filepath.Join(class, "none")); got != "" {
		t.Errorf("%q", got)
	}
}

func TestRemoveSocketTouchesOnlySockets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x")
	if err := removeSocket(path); err != nil {
		t.Errorf("nothing there: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := removeSocket(path); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("a file: %v", err)
	}
}

func TestWriteIfEmpty(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hosts")
	for _, test := range []struct{ before, want string }{{"", "new"}, {"old", "old"}} {
		if err := os.WriteFile(path, []byte(test.before), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := writeIfEmpty(path, "new"); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); string(got) != test.want {
			t.Errorf("%q became %q", test.before, got)
		}
	}
}
