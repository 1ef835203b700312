package imagepack_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/imagepack"
)

func TestCacheDirectoryMustBeOurs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"a file": {
			func(t *testing.T, dir string) { write(t, filepath.Join(dir, "recipes"), "") },
			"making the cache: mkdir DIR/recipes: not a directory",
		},
		"a symlink": {
			func(t *testing.T, dir string) { must(t, os.Symlink(t.TempDir(), filepath.Join(dir, "packs"))) },
			"cache directory DIR/packs is not a directory\nhint: rm 'DIR/packs'",
		},
		"writable by others": {
			func(t *testing.T, dir string) {
				must(t, os.Mkdir(filepath.Join(dir, "recipes"), 0o700))
				must(t, os.Chmod(filepath.Join(dir, "recipes"), 0o777))
			},
			"cache directory DIR/recipes is writable by others\nhint: chmod 700 'DIR/recipes'",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			test.spoil(t, b.dir)
			want := "packing image agent: " + strings.ReplaceAll(test.want, "DIR", b.dir)
			if _, err := b.store().Ensure(t.Context(), b.built.image("one")); withHints(err) != want {
				t.Errorf("err = %v\nwant  %v", withHints(err), want)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	before := b.store().Explain(b.built.image("one"))
	if before.Key != "" || before.Against != "" {
		t.Errorf("before anything was built: %+v", before)
	}
	first := b.ensure(t, "one")
	if same := b.store().Explain(b.built.image("one")); same.Key != first.Key || len(same.Changes) != 0 || same.Against != first.Key {
		t.Errorf("nothing changed: %+v", same)
	}
	want := `agent: artifact ` + first.Key + `
  format: 1
  image: ` + first.ImageDigest + `
  platform: linux/amd64
  tool: smolvm-fake 1.9.3
recipe ` + recipeKey("one") + `
  base: one
nothing changed since artifact ` + first.Key[:12] + "\n"
	if diff := cmp.Diff(want, b.ensure(t, "one").Explain.String()); diff != "" {
		t.Errorf("explanation of a hit (-want +got):\n%s", diff)
	}
	got := b.store().Explain(b.built.image("two")).String()
	want = `agent: artifact not built yet
  format: 1
  image: not built yet
  platform: linux/amd64
  tool: smolvm-fake 1.9.3
recipe ` + recipeKey("two") + `
  base: two
changed since artifact ` + first.Key[:12] + `:
  image: ` + first.ImageDigest + ` -> not built yet
  base: one -> two
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("explanation (-want +got):\n%s", diff)
	}
	second := b.ensure(t, "two")
	wantChanges := []imagepack.Change{
		{Name: "image", Was: first.ImageDigest, Now: second.ImageDigest}, {Name: "base", Was: "one", Now: "two"},
	}
	if diff := cmp.Diff(wantChanges, second.Explain.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if b.built.count() != 2 {
		t.Errorf("%d builds: Explain must build nothing", b.built.count())
	}
}
