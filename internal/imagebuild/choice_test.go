package imagebuild_test

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/imagebuild"
)

// mirror plays apt-get and mmdebstrap for a mirror with one package.
type mirror struct {
	version string
	ran     []string
}

func (m *mirror) run(_ context.Context, cmd execx.Cmd) error {
	if cmd.Path != "apt-config" {
		m.ran = append(m.ran, cmd.Path+" "+cmd.Args[0])
	}
	switch {
	case cmd.Args[0] == "--version":
		_, err := io.WriteString(cmd.Stdout, "mmdebstrap 1.3.5\n")
		return err
	case cmd.Args[0] == "--simulate":
		_, err := fmt.Fprintf(cmd.Stdout, "Inst git (%s x)\n", m.version)
		return err
	case cmd.Path != "mmdebstrap":
		return nil
	}
	archive := tar.NewWriter(cmd.Stdout)
	for _, file := range [][2]string{
		{"./etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"},
		{"./var/lib/dpkg/status", "Package: git\nStatus: install ok installed\nVersion: " + m.version + "\n"},
	} {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: file[0], Mode: 0o644, Size: int64(len(file[1])), ModTime: time.Now()}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.WriteString(archive, file[1]); err != nil {
			return err
		}
	}
	return archive.Close()
}

func (m *mirror) use(config *imagebuild.Config) {
	config.Base.Debian.Run = m.run
	config.Base.Debian.Find = func(name string) (string, error) { return "/usr/bin/" + name, nil }
	config.Base.Debian.Root = fstest.MapFS{
		"etc/os-release":       {Data: []byte("VERSION_CODENAME=bookworm\n")},
		"etc/apt/sources.list": {Data: []byte("deb http://mirror.test/debian bookworm main\n")},
	}
}

func TestDebianBaseIsChosenOnceAndPinned(t *testing.T) {
	t.Parallel()
	m := &mirror{version: "1"}
	settings := config(t)
	m.use(&settings)
	log := &journal{}
	settings.Events = log
	loaded, selection := recipe(t, on("127.0.0.1:1/base:tag")+debianSection), imagebuild.Selection{Platform: linux("amd64")}
	first := build(t, settings, loaded, selection)
	valid(t, first.image)
	if got := tree(t, first.image)["/etc/passwd"]; got != "0 644 0:0 root:x:0:0:root:/root:/bin/bash\nagent:x:1000:1000::/home/agent:/bin/sh" {
		t.Errorf("/etc/passwd = %q", got)
	}
	if want := "info base the registry of 127.0.0.1:1/base:tag does not answer; taking Debian packages\n"; !strings.Contains(log.text(), want) {
		t.Errorf("events:\n%s", log.text())
	}

	// The mirror moves on; neither plan nor build looks.
	m.version, m.ran = "2", nil
	if again := build(t, settings, loaded, selection); again.key != first.key || again.digest != first.digest || m.ran != nil {
		t.Errorf("a pinned base was looked up again: %v", m.ran)
	}
	// A base that is lost cannot be made again from another mirror, and that is said.
	for _, file := range layerFiles(t, settings.CacheDir) {
		if err := os.Truncate(file, 1); err != nil {
			t.Fatal(err)
		}
	}
	want := "making the Debian base: the mirror has other package versions than the plan: git=2 is new\nmage base chooses a base anew"
	if got := fails(t, settings, loaded, selection); !strings.HasSuffix(got, want) {
		t.Errorf("err = %s\nwant  ... %s", got, want)
	}
	about, err := imagebuild.New(settings).Base(t.Context(), loaded, linux("amd64"), true)
	if err != nil || !strings.HasPrefix(about, "debian bookworm, 1 packages, ") {
		t.Errorf("base %s, %v", about, err)
	}
	m.ran = nil
	if anew := build(t, settings, loaded, selection); anew.key == first.key || m.ran != nil {
		t.Errorf("after a refresh the key is %s, was %s; ran %v", anew.key, first.key, m.ran)
	}
}

func TestChoiceOfTheBase(t *testing.T) {
	t.Parallel()
	nobody := "127.0.0.1:1/base:tag" // nothing listens on port 1
	refused := "asking for " + nobody + `: Get "https://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused; ` +
		`Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused`
	for _, test := range []struct{ name, text, choice, want string }{
		{
			"no registry and nothing else", on(nobody), "",
			"choosing the base of tiny: " + refused,
		},
		{
			"no registry, no mmdebstrap", on(nobody) + debianSection, "",
			"choosing the base of tiny: " + refused + "\nresolving the packages of the Debian base: mmdebstrap is not installed\non Debian or Ubuntu: sudo apt-get install mmdebstrap",
		},
		{
			"debian by word", on(nobody) + debianSection, "debian",
			"choosing the base of tiny: resolving the packages of the Debian base: mmdebstrap is not installed\non Debian or Ubuntu: sudo apt-get install mmdebstrap",
		},
		{
			"registry by word", on(nobody) + debianSection, "registry",
			"choosing the base of tiny: " + refused + "\nBOTTLE_BASE names it: correct that, or: unset BOTTLE_BASE",
		},
		{"registry where none is named", on("debian") + debianSection, "registry", "BOTTLE_BASE=registry: the recipe names no registry reference"},
		{"debian where none is described", on(nobody), "debian", "BOTTLE_BASE=debian: the recipe has no [debian] section"},
		{"nonsense", on(nobody), "layout:", `BOTTLE_BASE: "layout:" names nothing after the colon`},
		{"another base", on(nobody) + debianSection, "docker:mine", "base docker:mine needs a container engine\nstart Docker, or choose another base with BOTTLE_BASE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			settings := config(t)
			settings.Base.Choice = test.choice
			if got := fails(t, settings, recipe(t, test.text), imagebuild.Selection{Platform: linux("amd64")}); got != test.want {
				t.Errorf("err = %s\nwant  %s", got, test.want)
			}
		})
	}
}

func TestChoiceDoesNotTouchScratch(t *testing.T) {
	t.Parallel()
	settings := config(t)
	settings.Base.Choice = "debian"
	result := build(t, settings, recipe(t, tiny), imagebuild.Selection{Platform: linux("amd64")})
	if layers, err := result.image.Layers(); err != nil || len(layers) != 2 {
		t.Errorf("%d layers, %v", len(layers), err)
	}
}

func TestSilentRegistryIsGivenUp(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer server.Close()
	defer close(done)
	settings := config(t)
	settings.Base.Timeout = 10 * time.Millisecond
	ref := strings.TrimPrefix(server.URL, "http://") + "/base:tag"
	want := "choosing the base of tiny: asking for " + ref + ": no answer within 50ms"
	if got := fails(t, settings, recipe(t, on(ref)), imagebuild.Selection{Platform: linux("amd64")}); got != want {
		t.Errorf("err = %s\nwant  %s", got, want)
	}
}

func TestDamagedLock(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{", `{"version":2,"bases":{}}`, `{"version":1}`} {
		settings := config(t)
		path := filepath.Join(settings.CacheDir, "base.lock")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		want := path + " is damaged or of another version\nremove it, and the base is chosen anew"
		if got := fails(t, settings, recipe(t, on("127.0.0.1:1/x")), imagebuild.Selection{Platform: linux("amd64")}); got != want {
			t.Errorf("err = %s\nwant  %s", got, want)
		}
	}
}

func TestBaseFromFiles(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	image := baseImage(t, "arm64", "file")
	path, err := layout.Write(filepath.Join(root, "images", "tiny", "oci"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	other := baseImage(t, "amd64", "other")
	for arch, one := range map[string]v1.Image{"arm64": image, "amd64": other} {
		if err := path.AppendImage(one, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: arch})); err != nil {
			t.Fatal(err)
		}
	}
	tag, err := name.NewTag("example.test/base:tag")
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(root, "base.tar")
	if err := tarball.WriteToFile(archive, tag, image); err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{"layout:oci", "archive:" + archive} {
		settings := config(t)
		settings.Root = root
		result := build(t, settings, recipe(t, on(base)), imagebuild.Selection{Platform: linux("arm64")})
		valid(t, result.image)
		if got := tree(t, result.image)["/etc/marker"]; got != "0 640 0:42 file" {
			t.Errorf("%s: marker %q", base, got)
		}
	}
	settings := config(t)
	settings.Root = root
	got := fails(t, settings, recipe(t, on("layout:none")), imagebuild.Selection{Platform: linux("arm64")})
	if want := "reading the base layout:" + filepath.Join(root, "images", "tiny", "none"); !strings.HasPrefix(got, want) {
		t.Errorf("err = %s", got)
	}
}
