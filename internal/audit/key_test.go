package audit_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bottle.internal/internal/audit"
)

func TestKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".audit", "key")
	if _, err := audit.ReadKey(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadKey() before the first use = %v", err)
	}
	var group sync.WaitGroup
	keys := make([]string, 8)
	for i := range keys {
		group.Go(func() {
			key, err := audit.LoadKey(path, rand.Reader)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = audit.Fingerprint(key.Public())
		})
	}
	group.Wait()
	for _, key := range keys {
		if key != keys[0] || key == "" {
			t.Fatalf("launches side by side have keys %v", keys)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the key: %v, %v", entries, err)
	}
	info, err := os.Stat(path)
	must(t, err)
	dir, err := os.Stat(filepath.Dir(path))
	must(t, err)
	if info.Mode().Perm() != 0o600 || dir.Mode().Perm() != 0o700 {
		t.Errorf("modes %v and %v", info.Mode(), dir.Mode())
	}
}

func TestKeyRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	_, err := audit.LoadKey(good, rand.Reader)
	must(t, err)
	pem := readAll(t, good)
	for _, test := range []struct {
		name    string
		prepare func(path string) error
		want    string
	}{
		{"mode", func(path string) error { return os.WriteFile(path, []byte(pem), 0o640) }, "PATH is open to others (mode 0640): a key that others know signs nothing"},
		{"empty", func(path string) error { return os.WriteFile(path, nil, 0o600) }, "PATH is no private key"},
		{"more", func(path string) error { return os.WriteFile(path, []byte(pem+pem), 0o600) }, "PATH is no private key"},
		{"other", func(path string) error {
			return os.WriteFile(path, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600)
		}, "PATH is no ed25519 key"},
		{"directory", func(path string) error { return os.Mkdir(path, 0o700) }, "PATH is no regular file of ours"},
		{"symlink", func(path string) error { return os.Symlink(good, path) }, "open PATH: too many levels of symbolic links"},
	} {
		path := filepath.Join(dir, test.name)
		must(t, test.prepare(path))
		_, err := audit.LoadKey(path, rand.Reader)
		if got := strings.ReplaceAll(text(err), path, "PATH"); got != "reading the audit key: "+test.want {
			t.Errorf("%s: LoadKey() = %s, want %s", test.name, got, test.want)
		}
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	key := testKey('S')
	encoded, err := json.Marshal(key)
	must(t, err)
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %s %q %x", key, key, key, key, key, key), fmt.Sprintf("%+v", struct{ k audit.Key }{key}), string(encoded)} {
		if strings.Contains(printed, "SSSS") || strings.Contains(printed, "53535353") || strings.Contains(printed, "83 83 83 83") {
			t.Errorf("the key was printed: %s", printed)
		}
	}
}
