package imagepack_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/event"
)

// flipByte changes a byte in place and puts size and mtime back.
func flipByte(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	one := make([]byte, 1)
	if _, err := file.ReadAt(one, 100); err != nil {
		t.Fatal(err)
	}
	one[0] ^= 1
	if _, err := file.WriteAt(one, 100); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	setTimes(t, path, info.ModTime())
}

func edit(t *testing.T, path, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(raw, []byte(from)) {
		t.Fatalf("%s does not contain %q", path, from)
	}
	write(t, path, strings.Replace(string(raw), from, to, 1))
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDamagedArtifactsAreRebuilt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		damage func(t *testing.T, artifact, record string)
		why    string // with ARTIFACT and RECORD for the paths
	}{
		"truncated": {
			func(t *testing.T, artifact, _ string) { must(t, os.Truncate(artifact, 1000)) },
			"it has 1000 bytes, 2112 were written",
		},
		"empty": {
			func(t *testing.T, artifact, _ string) { must(t, os.Truncate(artifact, 0)) },
			"it has 0 bytes, 2112 were written",
		},
		"longer": {
			func(t *testing.T, artifact, _ string) { must(t, os.Truncate(artifact, 4096)) },
			"it has 4096 bytes, 2112 were written",
		},
		"a byte flipped, size and mtime as before": {
			func(t *testing.T, artifact, _ string) { flipByte(t, artifact) },
			"its content is not what was written",
		},
		"replaced by another file, size and mtime as before": {
			func(t *testing.T, artifact, _ string) {
				info, err := os.Stat(artifact)
				must(t, err)
				write(t, artifact+".new", strings.Repeat("x", 2112))
				setTimes(t, artifact+".new", info.ModTime())
				must(t, os.Rename(artifact+".new", artifact))
			},
			"its content is not what was written",
		},
		"no record": {
			func(t *testing.T, _, record string) { must(t, os.Remove(record)) },
			"there is no record of it",
		},
		"record is no JSON": {
			func(t *testing.T, _, record string) { write(t, record, "{") },
			"RECORD: not written by bottle: unexpected EOF",
		},
		"record has an unknown field": {
			func(t *testing.T, _, record string) { edit(t, record, `"via"`, `"x":1, "via"`) },
			`RECORD: not written by bottle: json: unknown field "x"`,
		},
		"record has something after it": {
			func(t *testing.T, _, record string) { edit(t, record, "\n}\n", "\n}{}") },
			"RECORD: not written by bottle: there is something after the value",
		},
		"record of another key": {
			func(t *testing.T, _, record string) { edit(t, record, "smolvm-fake 1.9.3", "smolvm-fake 1.9.4") },
			"record RECORD: not written by bottle",
		},
		"record of another format": {
			func(t *testing.T, _, record string) { edit(t, record, `"format": 1`, `"format": 2`) },
			"record RECORD: not written by bottle",
		},
		"record too large": {
			func(t *testing.T, _, record string) { write(t, record, strings.Repeat(" ", 2<<20)) },
			"RECORD: not written by bottle: it is too large",
		},
		"record is a symlink": {
			func(t *testing.T, _, record string) {
				must(t, os.Rename(record, record+"2"))
				must(t, os.Symlink(record+"2", record))
			},
			"RECORD is a symlink: not written by bottle",
		},
		"artifact is a symlink": {
			func(t *testing.T, artifact, _ string) {
				must(t, os.Rename(artifact, artifact+"2"))
				must(t, os.Symlink(artifact+"2", artifact))
			},
			"ARTIFACT is a symlink: not written by bottle",
		},
		"artifact is a directory": {
			func(t *testing.T, artifact, _ string) {
				must(t, os.Remove(artifact))
				must(t, os.MkdirAll(filepath.Join(artifact, "full"), 0o700))
			},
			"ARTIFACT is not a regular file: not written by bottle",
		},
		"artifact writable by others": {
			func(t *testing.T, artifact, _ string) { must(t, os.Chmod(artifact, 0o622)) },
			"ARTIFACT is writable by others: not written by bottle",
		},
		"record writable by others": {
			func(t *testing.T, _, record string) { must(t, os.Chmod(record, 0o662)) },
			"RECORD is writable by others: not written by bottle",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			first := b.ensure(t, "one")
			record := strings.TrimSuffix(first.Path, ".smolmachine") + ".json"
			test.damage(t, first.Path, record)
			b.said.take()
			second := b.ensure(t, "one")
			if second.Cached || second.SHA256 != first.SHA256 || b.packer.count() != 2 {
				t.Errorf("second artifact: %+v, %d packs", second, b.packer.count())
			}
			why := strings.NewReplacer("ARTIFACT", first.Path, "RECORD", record).Replace(test.why)
			want := []string{"warn pack: agent: not using the cached " + first.Key[:12] + ", making it again: " + why}
			if diff := cmp.Diff(want, b.said.take(event.Warn)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if third := b.ensure(t, "one"); !third.Cached || b.packer.count() != 2 {
				t.Errorf("third artifact: %+v, %d packs", third, b.packer.count())
			}
		})
	}
}

func TestMissingArtifactIsMadeWithoutAWarning(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.ensure(t, "one")
	must(t, os.Remove(first.Path))
	if second := b.ensure(t, "one"); second.Cached {
		t.Errorf("second: %+v", second)
	}
	if said := b.said.take(event.Warn); len(said) > 0 {
		t.Errorf("warnings: %q", said)
	}
}

// A hard link, a backup program or a restored copy changes what stat says, and not the
// content: one reading settles it.
func TestTouchedArtifactIsReadOnce(t *testing.T) {
	t.Parallel()
	for name, touch := range map[string]func(t *testing.T, path string){
		"hard link": func(t *testing.T, path string) { must(t, os.Link(path, path+".linked")) },
		"mtime":     func(t *testing.T, path string) { must(t, os.Chtimes(path, time.Time{}, time.Unix(1e9, 0))) },
		"copy": func(t *testing.T, path string) {
			raw, err := os.ReadFile(path)
			must(t, err)
			write(t, path+".copy", string(raw))
			must(t, os.Rename(path+".copy", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			first := b.ensure(t, "one")
			b.said.take()
			touch(t, first.Path)
			skip := "skip pack: agent: nothing changed (" + first.Key[:12] + ")"
			for _, want := range [][]string{
				{"start verify: agent: the artifact's file was touched, reading it again", "done verify: 2.1 kB read", skip},
				{skip},
			} {
				if again := b.ensure(t, "one"); !again.Cached || b.packer.count() != 1 || b.built.count() != 1 {
					t.Errorf("again: %+v, %d packs, %d builds", again, b.packer.count(), b.built.count())
				}
				if diff := cmp.Diff(want, b.said.take(event.Start, event.Done, event.Skip, event.Warn)); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestDamagedRecipeIsBuiltAgain(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, path string){
		"garbage":       func(t *testing.T, path string) { write(t, path, "x") },
		"other recipe":  func(t *testing.T, path string) { edit(t, path, recipeKey("one"), recipeKey("two")) },
		"no digest":     func(t *testing.T, path string) { edit(t, path, "sha256:", "sha256-") },
		"other's write": func(t *testing.T, path string) { must(t, os.Chmod(path, 0o666)) },
		"gone":          func(t *testing.T, path string) { must(t, os.Remove(path)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.ensure(t, "one")
			damage(t, filepath.Join(b.dir, "recipes", recipeKey("one")+".json"))
			if again := b.ensure(t, "one"); !again.Cached || b.built.count() != 2 || b.packer.count() != 1 {
				t.Errorf("again: %+v, %d builds, %d packs", again, b.built.count(), b.packer.count())
			}
			if b.ensure(t, "one"); b.built.count() != 2 {
				t.Errorf("%d builds: the recipe was not written again", b.built.count())
			}
		})
	}
}
