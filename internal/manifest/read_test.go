package manifest_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/manifest"
)

func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, size int, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, size), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, want, hint string }{
		{write("ok", manifest.MaxSize, 0o600), "", ""},
		{dir, "it is a directory, not a file", "name the file in it: --manifest DIR/bottle.toml"},
		{filepath.Join(dir, "none"), "there is no such file", "bottle init --template claude writes one; docs/manifest.md shows every field; or name another: --manifest FILE"},
		{filepath.Join(dir, "ok", "x"), "not a directory", ""},
		{filepath.Join(dir, "a\x1b[2J"), "there is no such file", "bottle init --template claude writes one; docs/manifest.md shows every field; or name another: --manifest FILE"},
		{write("big", manifest.MaxSize+1, 0o600), "it is larger than 1 MiB", `move long prompts into files of their own (prompt_file = "...")`},
		{pipe, "it is not a regular file", "name a plain file: --manifest FILE"},
		{write("secret", 1, 0), "permission denied", "make it readable for you: chmod u+r DIR/secret"},
	} {
		if strings.HasSuffix(test.path, "secret") && os.Geteuid() == 0 {
			continue // root reads it all the same
		}
		source, err := manifest.Read(test.path)
		if test.want == "" {
			if err != nil || source.Path != test.path || len(source.Data) != manifest.MaxSize {
				t.Errorf("Read(%q) = %d bytes, %v", test.path, len(source.Data), err)
			}
			continue
		}
		refused := (*manifest.ReadError)(nil)
		if !errors.As(err, &refused) {
			t.Errorf("Read(%q) = %v, want a ReadError", test.path, err)
			continue
		}
		shown := strings.ReplaceAll(test.path, "\x1b", `\x1b`)
		if shown != test.path {
			shown = `"` + shown + `"`
		}
		if want := "reading the manifest " + shown + ": " + test.want; err.Error() != want {
			t.Errorf("Read() = %q, want %q", err, want)
		}
		hints := strings.ReplaceAll(strings.Join(refused.HintLines(), "\n"), dir, "DIR")
		if diff := cmp.Diff(test.hint, hints); diff != "" {
			t.Errorf("hints of %q (-want +got):\n%s", test.path, diff)
		}
	}
	if _, err := manifest.Read(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file is not fs.ErrNotExist: %v", err)
	}
}
