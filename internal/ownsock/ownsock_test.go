package ownsock_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"bottle.internal/internal/ownsock"
)

// The kernel that this test runs on agrees. A relative path counts as it is given.
func TestMaxPath(t *testing.T) {
	t.Chdir(t.TempDir())
	longest := ownsock.MaxPath
	if runtime.GOOS == "linux" {
		longest = 107
	}
	for size, fits := range map[int]bool{ownsock.MaxPath: true, longest: true, longest + 1: false} {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", strings.Repeat("x", size))
		if (err == nil) != fits {
			t.Errorf("a path of %d bytes: %v", size, err)
		}
		if err == nil {
			_ = listener.Close()
		}
	}
}

// The umask is the process's: this test is alone in it, and does not run beside others.
//
//nolint:paralleltest // see above
func TestNoMomentOfAWiderMode(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux takes the mode from the descriptor")
	}
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "s")
	listener, err := ownsock.Bind(t.Context(), path, runtime.GOOS)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if conn, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	} else {
		_ = conn.Close()
	}
}

func TestOtherSystems(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	_, err := ownsock.ListenOn(t.Context(), path, "darwin")
	if want := dir + " has mode 0755: others could connect to a socket there while it is made"; err == nil || err.Error() != want {
		t.Errorf("in a directory that is open to others: %v", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := ownsock.ListenOn(t.Context(), path, "darwin")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestNothingIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ownsock.Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%v", err)
	}
}
