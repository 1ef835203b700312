package imagebuild_test

import (
	"archive/tar"
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"bottle.internal/internal/imagebuild"
	"bottle.internal/tests/fakeimage"
)

// baseImage is what a registry could hold: two layers, with an account 1000.
func baseImage(t *testing.T, arch, marker string) v1.Image {
	t.Helper()
	config := &v1.ConfigFile{
		OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{Env: []string{"PATH=/base/bin", "LANG=base", "KEEP=1"}, User: "1000", Entrypoint: []string{"/base"}},
	}
	image, err := mutate.ConfigFile(empty.Image, config)
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range []map[string]string{
		{"etc/passwd": "root:x:0:0:root:/root:/bin/bash\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n", "etc/group": "root:x:0:\nubuntu:x:1000:\nshadow:x:42:\n"},
		{"etc/shadow": "root:*:1:0:99999:7:::\nubuntu:*:1:0:99999:7:::\n", "etc/marker": marker},
	} {
		image, err = mutate.AppendLayers(image, tarLayer(t, files))
		if err != nil {
			t.Fatal(err)
		}
	}
	return image
}

func tarLayer(t *testing.T, files map[string]string) v1.Layer {
	t.Helper()
	var entries []fakeimage.File
	for name, text := range files {
		header := tar.Header{Typeflag: tar.TypeReg, Name: "./" + name, Mode: 0o640, Gid: 42, ModTime: time.Unix(0, 0)}
		entries = append(entries, fakeimage.File{Header: header, Content: text})
	}
	return fakeimage.Layer(t, entries...)
}

func on(base string) string { return strings.Replace(tiny, `"scratch"`, `"`+base+`"`, 1) }

const debianSection = "[debian]\nsuite = \"host\"\npackages = [\"git\"]\n"

func TestRegistryBase(t *testing.T) {
	t.Parallel()
	server := fakeimage.Registry(t)
	ref := fakeimage.Push(t, server, "base:tag", baseImage(t, "amd64", "first"))
	settings := config(t)
	selection := imagebuild.Selection{Platform: linux("amd64")}
	first := build(t, settings, recipe(t, on(ref)), selection)
	valid(t, first.image)
	got := tree(t, first.image)
	for name, want := range map[string]string{
		"/etc/marker": "0 640 0:42 first",
		"/etc/passwd": "0 640 0:42 root:x:0:0:root:/root:/bin/bash\nagent:x:1000:1000::/home/agent:/bin/sh",
		"/etc/group":  "0 640 0:42 root:x:0:\nshadow:x:42:\nagent:x:1000:",
		"/etc/shadow": "0 640 0:42 root:*:1:0:99999:7:::\nubuntu:*:1:0:99999:7:::\nagent:*:20454:0:99999:7:::",
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
	file, err := first.image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if env := strings.Join(file.Config.Env, " "); env != "KEEP=1 LANG=C.UTF-8 PATH=/base/bin" || file.Config.User != "" || file.Config.Entrypoint != nil {
		t.Errorf("config = %+v", file.Config)
	}

	// The tag moves on, and we do not: until somebody asks for it.
	fakeimage.Push(t, server, "base:tag", baseImage(t, "amd64", "second"))
	if again := build(t, settings, recipe(t, on(ref)), selection); again.digest != first.digest {
		t.Error("a moved tag changed the image")
	}
	if _, err := imagebuild.New(settings).Base(t.Context(), recipe(t, on(ref)), linux("amd64"), true); err != nil {
		t.Fatal(err)
	}
	second := build(t, settings, recipe(t, on(ref)), selection)
	if second.digest == first.digest || second.key == first.key || tree(t, second.image)["/etc/marker"] != "0 640 0:42 second" {
		t.Errorf("after a refresh the image is %s, was %s", second.digest, first.digest)
	}
	// From here on the registry is not needed.
	server.Close()
	if offline := build(t, settings, recipe(t, on(ref)), selection); offline.digest != second.digest {
		t.Error("without the registry the image is another one")
	}
}

func TestRegistryBaseIsCheckedAndPulledByDigest(t *testing.T) {
	t.Parallel()
	image := baseImage(t, "amd64", "good")
	server := fakeimage.Registry(t)
	ref := fakeimage.Push(t, server, "base:tag", image)
	host := strings.TrimPrefix(server.URL, "http://")
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	want := "building the image tiny for linux/arm64: making the base " + host + "/base:tag@" + digest.String() +
		": the base is for linux/amd64, not for linux/arm64"
	if got := fails(t, config(t), recipe(t, on(ref)), imagebuild.Selection{Platform: linux("arm64")}); got != want {
		t.Errorf("err = %s\nwant  %s", got, want)
	}
	// A registry that lies about a layer's bytes.
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			layers, err := image.Layers()
			if err != nil {
				t.Error(err)
			}
			if digest, err := layers[1].Digest(); err == nil && strings.HasSuffix(r.URL.Path, digest.String()) {
				size, _ := layers[1].Size()
				_, _ = w.Write(bytes.Repeat([]byte("x"), int(size)))
				return
			}
		}
		server.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(evil.Close)
	settings := config(t)
	got := fails(t, settings, recipe(t, on(strings.TrimPrefix(evil.URL, "http://")+"/base:tag")), imagebuild.Selection{Platform: linux("amd64")})
	if !strings.Contains(got, "sha256") {
		t.Errorf("err = %s", got)
	}
	if left := leftovers(t, settings.CacheDir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestTruncatedBaseIsPulledAgain(t *testing.T) {
	t.Parallel()
	server := fakeimage.Registry(t)
	ref := fakeimage.Push(t, server, "base:tag", baseImage(t, "amd64", "x"))
	settings := config(t)
	selection := imagebuild.Selection{Platform: linux("amd64")}
	first := build(t, settings, recipe(t, on(ref)), selection)
	fakeimage.Push(t, server, "base:tag", baseImage(t, "amd64", "the tag moved on"))
	for _, file := range layerFiles(t, settings.CacheDir) {
		if err := os.Truncate(file, 1); err != nil {
			t.Fatal(err)
		}
	}
	again := build(t, settings, recipe(t, on(ref)), selection)
	valid(t, again.image)
	if again.digest != first.digest {
		t.Errorf("digest %s, want %s", again.digest, first.digest)
	}
}
