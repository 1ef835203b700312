package verifybuild_test

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"bottle.internal/internal/verifybuild"
	"bottle.internal/tests/fakeimage"
)

type file struct {
	name, content string
	mode          int64
	time          int64
}

func files() []file {
	return []file{{"etc/a", "one", 0o644, 0}, {"etc/b", "two", 0o644, 0}, {"etc/c", "three", 0o755, 0}}
}

func layerOf(t *testing.T, content []file) v1.Layer {
	t.Helper()
	var entries []fakeimage.File
	for _, one := range content {
		header := tar.Header{Typeflag: tar.TypeReg, Name: one.name, Mode: one.mode, ModTime: time.Unix(one.time, 0), Format: tar.FormatPAX}
		entries = append(entries, fakeimage.File{Header: header, Content: one.content})
	}
	return fakeimage.Layer(t, entries...)
}

func image(t *testing.T, cmd string, layers ...[]file) v1.Image {
	t.Helper()
	var adds []mutate.Addendum
	for i, content := range layers {
		adds = append(adds, mutate.Addendum{Layer: layerOf(t, content), History: v1.History{CreatedBy: "bottle part " + string(rune('1'+i))}})
	}
	base, err := mutate.Config(empty.Image, v1.Config{Cmd: []string{cmd}})
	if err != nil {
		t.Fatal(err)
	}
	made, err := mutate.Append(base, adds...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// The first thing that differs is named, down to the file and what of it.
func TestImages(t *testing.T) {
	t.Parallel()
	changed := func(change func(f []file) []file) []file { return change(files()) }
	below := []file{{"base", "x", 0o644, 0}}
	for name, test := range map[string]struct {
		rebuilt v1.Image
		what    string // of the first row that differs; "" for none
		first   string
	}{
		"the same": {image(t, "sh", below, files()), "", ""},
		"content": {
			image(t, "sh", below, changed(func(f []file) []file { f[1].content = "tow"; return f })),
			"agent: layer part 2", "etc/b: content 3fc4ccfe745870e2 and f99c095d32405dac",
		},
		"mode":            {image(t, "sh", below, changed(func(f []file) []file { f[2].mode = 0o644; return f })), "agent: layer part 2", `etc/c: mode "0755" and "0644"`},
		"time":            {image(t, "sh", below, changed(func(f []file) []file { f[0].time = 1; return f })), "agent: layer part 2", `etc/a: time "1970-01-01 00:00:00 +0000 UTC" and "1970-01-01 00:00:01 +0000 UTC"`},
		"size":            {image(t, "sh", below, changed(func(f []file) []file { f[0].content = "four"; return f })), "agent: layer part 2", `etc/a: size "3" and "4"`},
		"new":             {image(t, "sh", below, changed(func(f []file) []file { return append(f, file{"etc/d", "", 0o644, 0}) })), "agent: layer part 2", "etc/d is new"},
		"gone":            {image(t, "sh", below, files()[1:]), "agent: layer part 2", "etc/a is gone"},
		"gone at the end": {image(t, "sh", below, files()[:2]), "agent: layer part 2", "etc/c is gone"},
		"the base":        {image(t, "sh", files(), files()), "agent: layer part 1", "base is gone"},
		"fewer":           {image(t, "sh", below), "agent: layer part 2", "there is no such layer any more"},
		"more":            {image(t, "sh", below, files(), below), "agent: layer part 3", "there was no such layer"},
		"config":          {image(t, "bash", below, files()), "agent: config", "alike up to byte "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := verifybuild.Images("agent", image(t, "sh", below, files()), test.rebuilt)
			if err != nil {
				t.Fatal(err)
			}
			first, differs := verifybuild.First(rows)
			if differs != (test.what != "") || first.What != test.what || !strings.HasPrefix(first.First, test.first) {
				t.Errorf("first = %+v, want %q with %q", first, test.what, test.first)
			}
			if image := rows[len(rows)-1]; image.What != "agent: image" || image.Same() != (test.what == "") {
				t.Errorf("the whole: %+v", image)
			}
		})
	}
}

// lying says another digest than its bytes have, as the record of a damaged cache does.
type lying struct {
	v1.Layer

	says v1.Layer
}

func (l lying) Digest() (v1.Hash, error) { return l.says.Digest() }
func (l lying) DiffID() (v1.Hash, error) { return l.says.DiffID() }

type patched struct {
	v1.Image

	layer v1.Layer
}

func (p patched) Layers() ([]v1.Layer, error) { return []v1.Layer{p.layer}, nil }

func TestARecordIsNotBelieved(t *testing.T) {
	t.Parallel()
	good := image(t, "sh", files())
	other := files()
	other[0].content = "eno"
	rows, err := verifybuild.Images("agent", patched{good, lying{layerOf(t, other), layerOf(t, files())}}, good)
	if err != nil {
		t.Fatal(err)
	}
	if first, differs := verifybuild.First(rows); !differs || !strings.HasPrefix(first.First, "etc/a: content ") {
		t.Errorf("first = %+v", first)
	}
}

func TestFilesAndTable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := write("1", "program"), write("2", "progRam!")
	same, err := verifybuild.Files("program a", one, one)
	if err != nil {
		t.Fatal(err)
	}
	differs, err := verifybuild.Files("program b", one, two)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifybuild.Files("program c", one, dir+"/none"); err == nil {
		t.Error("what is not there is the same")
	}
	a, b := same.Recorded[:16], differs.Rebuilt[:16]
	want := "what       recorded          rebuilt           same\n" +
		"program a  " + a + "  " + a + "  yes\n" +
		"program b  " + a + "  " + b + "  NO: 7 and 8 bytes, alike up to byte 4\n" +
		"layer      -                 -                 NO\n"
	got := verifybuild.Table([]verifybuild.Row{same, differs, {What: "layer"}})
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
