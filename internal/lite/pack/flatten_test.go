package pack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Microsoft/hcsshim/ext4/tar2ext4"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"bottle.internal/tests/fakeimage"
)

// layerOf reads a small language: "dir/", "file=content", "link->target", "hard=>target".
func layerOf(t testing.TB, entries ...string) v1.Layer {
	t.Helper()
	layer, err := tryLayerOf(entries)
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func tryLayerOf(entries []string) (v1.Layer, error) {
	var files []fakeimage.File
	for _, entry := range entries {
		f := fakeimage.File{Header: tar.Header{Mode: 0o644, ModTime: time.Unix(1700000000, 0)}}
		switch {
		case strings.Contains(entry, "=>"):
			f.Name, f.Linkname, _ = strings.Cut(entry, "=>")
			f.Typeflag = tar.TypeLink
		case strings.Contains(entry, "->"):
			f.Name, f.Linkname, _ = strings.Cut(entry, "->")
			f.Typeflag = tar.TypeSymlink
		case strings.HasSuffix(entry, "/"):
			f.Name, f.Typeflag, f.Mode = entry, tar.TypeDir, 0o750
		default:
			f.Name, f.Content, _ = strings.Cut(entry, "=")
			f.Typeflag = tar.TypeReg
		}
		files = append(files, f)
	}
	return fakeimage.Try(files)
}

// flat flattens layers and writes the result in the same language.
func flat(t *testing.T, layers ...v1.Layer) (string, error) {
	t.Helper()
	spool, err := os.Create(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = spool.Close() }()
	f := &flattener{tree: &tree{root: newDir()}, spool: spool}
	for _, l := range layers {
		if err := f.addLayer(t.Context(), l); err != nil {
			return "", err
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := f.writeTar(t.Context(), w); err != nil {
		return "", err
	}
	_ = w.Close()
	var out []string
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err != nil {
			return strings.Join(out, " "), nil
		}
		content, _ := io.ReadAll(r)
		switch h.Typeflag {
		case tar.TypeLink:
			out = append(out, h.Name+"=>"+h.Linkname)
		case tar.TypeSymlink:
			out = append(out, h.Name+"->"+h.Linkname)
		case tar.TypeDir:
			out = append(out, fmt.Sprintf("%s%o", h.Name, h.Mode))
		default:
			out = append(out, h.Name+"="+string(content))
		}
	}
}

func TestFlatten(t *testing.T) {
	t.Parallel()
	l := func(entries ...string) v1.Layer { return layerOf(t, entries...) }
	for name, test := range map[string]struct {
		layers []v1.Layer
		want   string
	}{
		"names are sorted, parents made":      {[]v1.Layer{l("b/c/f=1", "./a=2", "/d/")}, "/755 a=2 b/755 b/c/755 b/c/f=1 d/750"},
		"the upper layer wins":                {[]v1.Layer{l("f=old", "d/"), l("f=new")}, "/755 d/750 f=new"},
		"a directory replaces a file":         {[]v1.Layer{l("x=1"), l("x/y=2")}, "/755 x/755 x/y=2"},
		"a file replaces a directory":         {[]v1.Layer{l("x/y=2"), l("x=1")}, "/755 x=1"},
		"whiteout of a file":                  {[]v1.Layer{l("d/a=1", "d/b=2"), l("d/.wh.a=")}, "/755 d/755 d/b=2"},
		"whiteout of a directory":             {[]v1.Layer{l("d/a/b=1", "e=2"), l(".wh.d=")}, "/755 e=2"},
		"whiteout of nothing":                 {[]v1.Layer{l("a=1"), l(".wh.b=", "c/.wh.d=")}, "/755 a=1 c/755"},
		"opaque hides what is below":          {[]v1.Layer{l("d/a=1", "d/b/c=2"), l("d/", "d/.wh..wh..opq=", "d/n=3")}, "/755 d/750 d/n=3"},
		"opaque behind the new files":         {[]v1.Layer{l("d/a=1"), l("d/n=3", "d/s/x=4", "d/.wh..wh..opq=")}, "/755 d/755 d/n=3 d/s/755 d/s/x=4"},
		"whiteout and new file in any order":  {[]v1.Layer{l("f=1", "g=1"), l("f=2", ".wh.f=", ".wh.g=", "g=2")}, "/755 f=2 g=2"},
		"a whiteout does not outlast a layer": {[]v1.Layer{l("f=1"), l(".wh.f="), l("f=3")}, "/755 f=3"},
		"hard links":                          {[]v1.Layer{l("a=1", "b=>a"), l("c=>/b")}, "/755 a=1 b=>a c=>a"},
		"a hard link outlives its target":     {[]v1.Layer{l("z=1"), l("b=>z", ".wh.z=")}, "/755 b=1"},
		"a hard link keeps the old content":   {[]v1.Layer{l("a=1"), l("b=>a"), l("a=2")}, "/755 a=2 b=1"},
		"through a symbolic link":             {[]v1.Layer{l("usr/bin/sh=1", "bin->usr/bin"), l("bin/tool=2")}, "/755 bin->usr/bin usr/755 usr/bin/755 usr/bin/sh=1 usr/bin/tool=2"},
		"an absolute link stays inside":       {[]v1.Layer{l("x/l->/../../e", "e/"), l("x/l/f=1")}, "/755 e/750 e/f=1 x/755 x/l->/../../e"},
		"a name stays inside":                 {[]v1.Layer{l("../../etc/passwd=1", "a/../b=2")}, "/755 b=2 etc/755 etc/passwd=1"},
		"the root's own entry":                {[]v1.Layer{l("./", "a=1")}, "/750 a=1"},
	} {
		if got, err := flat(t, test.layers...); got != test.want || err != nil {
			t.Errorf("%s:\ngot  %s, %v\nwant %s", name, got, err, test.want)
		}
	}
	for want, layers := range map[string][]v1.Layer{
		"hard link a: its target b does not exist or is a directory": {l("a=>b")},
		"hard link a: its target d does not exist or is a directory": {l("d/", "a=>d")},
		"/a/: too many symbolic links":                               {l("a->b", "b->a", "a/f=1")},
	} {
		if _, err := flat(t, layers...); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzFlatten(f *testing.F) {
	f.Add("a=1 b=>a", "a/.wh..wh..opq=")
	f.Add("a->/b b->a c/a/..->x", "a/f=1 .wh.a=")
	f.Fuzz(func(t *testing.T, lower, upper string) {
		var layers []v1.Layer
		for _, entries := range []string{lower, upper} {
			layer, err := tryLayerOf(strings.Fields(entries))
			if err != nil || len(entries) > 500 {
				t.Skip("no archive can hold that")
			}
			layers = append(layers, layer)
		}
		got, err := flat(t, layers...)
		if err == nil && !strings.Contains(lower+upper, ">") && (strings.Contains(got, "/../") || strings.Contains(got, "/.wh.")) {
			t.Errorf("an unclean name came out: %s", got)
		}
	})
}

// published is an image on a registry of this process.
func published(t *testing.T) string {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, layerOf(t, "bin/sh=1", "etc/x=2"), layerOf(t, "etc/.wh.x="))
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", "amd64", v1.Time{Time: time.Unix(1700000000, 0)}
	config.Config = v1.Config{Entrypoint: []string{"/e"}, Cmd: []string{"c"}, Env: []string{"A=1"}, WorkingDir: "/w", User: "agent"}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return fakeimage.Push(t, fakeimage.Registry(t), "test/image:1", image)
}

func TestCreateIsDeterministic(t *testing.T) {
	t.Parallel()
	ref := published(t)
	var sums []string
	for range 2 {
		dir := t.TempDir()
		o := Options{Ref: ref, Output: filepath.Join(dir, "x"), Platform: "linux/amd64", CPUs: 2, MemMiB: 512, StagingDir: dir, Version: "1.9.3"}
		manifest, err := Create(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(o.Output + Extension)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, fmt.Sprintf("%x", sha256.Sum256(data)))
		read, err := ReadManifest(o.Output + Extension)
		if err != nil || len(data)%blockSize != 0 {
			t.Errorf("%d bytes, %v", len(data), err)
		}
		if diff := cmp.Diff(manifest, read); diff != "" {
			t.Error(diff)
		}
		want := Manifest{
			Mode: "container", Image: ref, Digest: read.Digest, Platform: "linux/amd64", Entrypoint: []string{"/e"}, Cmd: []string{"c"},
			Env: []string{"A=1"}, Workdir: "/w", CPUs: 2, Mem: 512, ImageSize: read.ImageSize, HostPlatform: "linux/amd64",
			Created: "2023-11-14T22:13:20Z", SmolvmVersion: "1.9.3", Assets: Assets{Format: format},
		}
		if diff := cmp.Diff(want, read); diff != "" {
			t.Error(diff)
		}
		if _, err := tar2ext4.ReadExt4SuperBlock(o.Output + Extension); err != nil {
			t.Errorf("the artifact is no ext4 disk: %v", err)
		}
		if info, err := os.Stat(o.Output); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("the stub: %v, %v", info, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 2 {
			t.Errorf("left over: %v", entries)
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("two packs of one image differ: %v", sums)
	}
}

func TestCreateFails(t *testing.T) {
	t.Parallel()
	ref := published(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx           context.Context //nolint:containedctx // a table of calls
		ref, platform string
		want          string
	}{
		"foreign host": {t.Context(), "images.test/x:1", "linux/amd64", "smolvm-lite pulls only from a registry on this machine, not from images.test"},
		"default host": {t.Context(), "ubuntu", "linux/amd64", "smolvm-lite pulls only from a registry on this machine, not from "},
		"platform":     {t.Context(), ref, "linux/arm64", "the image is for linux/amd64, not for linux/arm64"},
		"missing":      {t.Context(), strings.Replace(ref, "image", "other", 1), "linux/amd64", "NAME_UNKNOWN"},
		"cancelled":    {cancelled, ref, "linux/amd64", "context canceled"},
	} {
		dir := t.TempDir()
		o := Options{Ref: test.ref, Output: filepath.Join(dir, "x"), Platform: test.platform, StagingDir: dir}
		if _, err := Create(test.ctx, o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Errorf("%s: left over: %v", name, entries)
		}
	}
}
