package imagebuild_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"bottle.internal/internal/imagebuild"
)

// fakeEngine holds images by name and keeps the order of calls: it exports nothing
// that is not there, and builds only from a context that has the Dockerfile.
type fakeEngine struct {
	next    v1.Image // what a build makes
	stopped error

	mu     sync.Mutex
	images map[string]v1.Image
	builds []string
}

func (e *fakeEngine) ImageID(_ context.Context, name string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped != nil {
		return "", e.stopped
	}
	image, ok := e.images[name]
	if !ok {
		return "", imagebuild.ErrNoImage
	}
	id, err := image.ConfigName()
	return id.String(), err
}

func (e *fakeEngine) SaveImage(_ context.Context, image string) (io.ReadCloser, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	found, ok := e.images[image]
	if !ok {
		return nil, errors.New("no such image: " + image)
	}
	tag, err := name.NewTag("example.test/" + image)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	return io.NopCloser(&out), tarball.Write(tag, found, &out)
}

func (e *fakeEngine) BuildImage(_ context.Context, build imagebuild.EngineBuild) error {
	var names []string
	archive := tar.NewReader(build.Context)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		names = append(names, header.Name)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.builds = append(e.builds, build.Platform+" "+build.Dockerfile+": "+strings.Join(names, " "))
	build.Output("Step 1/1")
	e.images[build.Name] = e.next
	return nil
}

func TestDockerBase(t *testing.T) {
	t.Parallel()
	engine := &fakeEngine{images: map[string]v1.Image{"mine": baseImage(t, "amd64", "one")}}
	settings := config(t)
	settings.Engine = engine
	selection := imagebuild.Selection{Platform: linux("amd64")}
	first := build(t, settings, recipe(t, on("docker:mine")), selection)
	valid(t, first.image)
	if got := tree(t, first.image)["/etc/marker"]; got != "0 640 0:42 one" {
		t.Errorf("marker %q", got)
	}
	// An image of the engine is the user's own: a new one under the name is taken.
	engine.images["mine"] = baseImage(t, "amd64", "two")
	if second := build(t, settings, recipe(t, on("docker:mine")), selection); second.key == first.key {
		t.Error("a new image in the engine has the old key")
	}
	want := "base docker:yours: the engine has no such image\ndocker build -t yours DIR makes it"
	if got := fails(t, settings, recipe(t, on("docker:yours")), selection); got != want {
		t.Errorf("err = %s\nwant  %s", got, want)
	}
	engine.stopped = errors.New("cannot connect to the engine")
	want = "looking for the base docker:mine: cannot connect to the engine"
	if got := fails(t, settings, recipe(t, on("docker:mine")), selection); got != want {
		t.Errorf("err = %s\nwant  %s", got, want)
	}
	if left := leftovers(t, settings.CacheDir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	engine := &fakeEngine{images: map[string]v1.Image{}, next: baseImage(t, "amd64", "built")}
	settings := config(t)
	settings.Engine, settings.Root = engine, t.TempDir()
	dir := filepath.Join(settings.Root, "images", "tiny", "docker")
	write := func(name, text string) {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("Dockerfile", "FROM scratch\n")
	write("extra", "1")
	text := strings.Replace(on("docker:mine"), "workdir", "dockerfile = \"./docker/Dockerfile\"\nworkdir", 1)
	selection := imagebuild.Selection{Platform: linux("amd64")}
	job, err := imagebuild.New(settings).Plan(t.Context(), recipe(t, text), selection)
	if err != nil || len(engine.builds) > 0 {
		t.Fatalf("planning built %v, %v", engine.builds, err)
	}
	first := build(t, settings, recipe(t, text), selection)
	if got := tree(t, first.image)["/etc/marker"]; got != "0 640 0:42 built" || first.key != job.Key() {
		t.Errorf("marker %q", got)
	}
	if again := build(t, settings, recipe(t, text), selection); again.digest != first.digest {
		t.Errorf("digest %s, want %s", again.digest, first.digest)
	}
	write("extra", "2")
	if changed := build(t, settings, recipe(t, text), selection); changed.key == first.key {
		t.Error("a change in the build context does not change the key")
	}
	want := "linux/amd64 Dockerfile: Dockerfile extra"
	if got := strings.Join(engine.builds, "\n"); got != want+"\n"+want {
		t.Errorf("builds:\n%s", got)
	}
}
