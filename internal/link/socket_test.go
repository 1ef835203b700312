package link

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"bottle.internal/tests/eventually"
	"bottle.internal/tests/shortdir"
)

func TestSocketIsTheOwnersAlone(t *testing.T) {
	t.Parallel()
	relay := startRelay(t, RelayConfig{Port: 1, Key: testKey(t), Gate: func() string { return "" }})
	info, err := os.Lstat(relay.config.Socket)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	var asked atomic.Int64
	foreign := startRelay(t, RelayConfig{Port: 1, Key: testKey(t), Gate: func() string { return "" }, allowed: func(uid int) bool {
		asked.Store(int64(uid) + 1)
		return false
	}})
	if got, _ := ask(dial(t, "unix", foreign.config.Socket), "x"); got != "" {
		t.Errorf("another user got %q", got)
	}
	eventually.True(t, "another user is refused", func() bool { s := foreign.Stats(); return s.Refused == 1 && s.Accepted == 0 })
	if asked.Load() != int64(os.Geteuid())+1 {
		t.Errorf("the kernel names uid %d", asked.Load()-1)
	}
	if ours(os.Geteuid()+1, 0) || ours(12345, 0) || !ours(12345, 12345) {
		t.Error("a foreign uid counts as ours")
	}
}

func TestSocketRefusals(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	gate := func() string { return "" }
	for name, test := range map[string]struct {
		prepare func(t *testing.T, dir string) (path string)
		want    string // with %[1]s for the path and %[2]s for its directory
	}{
		"open directory": {func(t *testing.T, dir string) string {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "s")
		}, "opening the relay socket %[1]s: %[2]s has mode 0755, it must be 0700"},
		"directory is a link": {func(t *testing.T, dir string) string {
			link := filepath.Join(dir, "l")
			if err := os.Symlink(dir, link); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(link, "s")
		}, "opening the relay socket %[1]s: %[2]s is not a directory"},
		"a file": {func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "s")
			if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, "opening the relay socket %[1]s: the path is taken by something that is no socket"},
		"alive": {func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "s")
			startRelay(t, RelayConfig{Socket: path, Port: 1, Key: key, Gate: gate})
			return path
		}, "opening the relay socket %[1]s: another process listens there"},
		"too long": {func(_ *testing.T, dir string) string {
			return filepath.Join(dir, strings.Repeat("s", 104-len(dir)-1))
		}, "opening the relay socket %[1]s: the path has 104 bytes, a socket allows 103"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := test.prepare(t, shortdir.New(t))
			_, err := NewRelay(t.Context(), RelayConfig{Socket: path, Port: 1, Key: key, Gate: gate})
			want := strings.NewReplacer("%[1]s", path, "%[2]s", filepath.Dir(path)).Replace(test.want)
			if fmt.Sprint(err) != want {
				t.Errorf("NewRelay = %v, want %s", err, want)
			}
		})
	}
	if _, err := NewRelay(t.Context(), RelayConfig{Socket: "/nowhere", Gate: gate}); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortdir.New(t), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	relay := startRelay(t, RelayConfig{Socket: path, Port: 1, Key: testKey(t), Gate: func() string { return "" }})
	if _, err := ask(dial(t, "unix", path), "x"); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	eventually.True(t, "the new relay answered", func() bool { return relay.Stats().Accepted == 1 })
}
