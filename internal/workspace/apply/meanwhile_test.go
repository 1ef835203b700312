package apply_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/workspace/apply"
)

func TestHostChangesMeanwhile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		at   string // the step before which the host does it
		do   func(dir string) error
		want string
	}{
		{"before everything", "make the journal's directory", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "changed"), []byte("host\n"), 0o600)
		}, "changed changed on the host in this moment; nothing was written"},
		{"in the last instant", "move aside changed", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "changed"), []byte("host\n"), 0o600)
		}, "changed changed on the host in this moment; nothing was written"},
		{"deleted", "move aside changed", func(dir string) error {
			return os.Remove(filepath.Join(dir, "changed"))
		}, "changed changed on the host in this moment; nothing was written"},
		{"a file appears", "put in place new link", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "new link"), []byte("host\n"), 0o600)
		}, "new link changed on the host in this moment; nothing was written"},
		{"a file appears in the place of an old one", "put in place changed", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "changed"), []byte("host\n"), 0o600)
		}, "changed changed on the host in this moment; nothing was written"},
		{"becomes a link", "move aside changed", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "changed")), os.Symlink("/etc/passwd", filepath.Join(dir, "changed")))
		}, "changed changed on the host in this moment; nothing was written"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := fresh(t)
			var host tree
			r := request(dir, before(), after())
			moved := false
			r.Step = func(name string) error {
				moved = moved || strings.HasPrefix(name, "move aside")
				if name != test.at {
					return nil
				}
				return test.do(dir)
			}
			err := apply.Apply(t.Context(), r)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Apply = %v, want %s", err, test.want)
			}
			if test.name == "before everything" && moved {
				t.Error("it began although it could have known")
			}
			host = read(t, dir)
			for name, text := range before() {
				if name != "changed" && host[name] != text {
					t.Errorf("%q: %q, want %q", name, host[name], text)
				}
			}
			if strings.HasPrefix(test.name, "a file appears") {
				for _, name := range []string{"changed", "new link"} {
					if strings.HasSuffix(test.at, name) && host[name] != "host\n" {
						t.Errorf("what appeared at %s was overwritten: %q", name, host[name])
					}
				}
			}
		})
	}
}

// A directory on the way that becomes a link, at whatever moment, leads nowhere.
func TestDirectoryBecomesALink(t *testing.T) {
	t.Parallel()
	was := tree{"dir/f": "old\n", "dir/gone": "gone\n"}
	will := tree{"dir/f": "new\n", "dir/new": "new\n", "dir/link": "-> f"}
	var names []string
	r := request(t.TempDir(), was, will)
	write(t, r.Dir, was)
	r.Step = func(name string) error { names = append(names, name); return nil }
	if err := apply.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for i := range names {
		dir, outside, count := t.TempDir(), t.TempDir(), i
		write(t, dir, was)
		theirs := tree{"f": "old\n", "gone": "gone\n"}
		write(t, outside, theirs)
		r := request(dir, was, will)
		r.Step = func(string) error {
			if count--; count == -1 {
				return errors.Join(os.Rename(filepath.Join(dir, "dir"), filepath.Join(dir, "moved")), os.Symlink(outside, filepath.Join(dir, "dir")))
			}
			return nil
		}
		_ = apply.Apply(t.Context(), r)
		if diff := cmp.Diff(theirs, read(t, outside)); diff != "" {
			t.Errorf("at step %d (%s) it wrote through the link (-want +got)\n%s", i, names[i], diff)
		}
	}
}
