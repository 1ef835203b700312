package imagebuild_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"bottle.internal/internal/event"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/imagebuild/debian"
	"bottle.internal/internal/imagebuild/npm"
)

func linux(arch string) imagebuild.Platform {
	return imagebuild.Platform{OS: "linux", Architecture: arch}
}

// recipe loads a recipe with some files beside it.
func recipe(t *testing.T, text string) *imagebuild.Recipe {
	t.Helper()
	loaded, err := imagebuild.LoadRecipe(fstest.MapFS{
		"images/tiny/image.toml":          {Data: []byte(text)},
		"images/tiny/files/etc/motd":      {Data: []byte("hello\n"), Mode: 0o600},
		"images/tiny/files/usr/bin/greet": {Data: []byte("#!/bin/sh\necho hi\n")},
	}, "images/tiny")
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// journal is an event sink that remembers.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Send(_ context.Context, e event.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.Kind != event.Progress {
		j.lines = append(j.lines, fmt.Sprintf("%s %s %s", e.Kind, e.Step, e.Text))
	}
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "\n")
}

// config is a builder's whose cache is empty and whose host has nothing to offer.
func config(t *testing.T) imagebuild.Config {
	t.Helper()
	cache := t.TempDir()
	return imagebuild.Config{
		CacheDir: cache,
		Programs: &gobuild.Builder{Root: module(t), CacheDir: cache, Env: os.Environ()},
		Base: imagebuild.BaseOptions{Debian: debian.Host{
			Root: fstest.MapFS{}, OS: "linux", Arch: "amd64",
			Run:  func(context.Context, execx.Cmd) error { return errors.New("no program may be run here") },
			Find: func(name string) (string, error) { return "", fmt.Errorf("no %s here", name) },
		}},
		Npm: imagebuild.NpmOptions{Host: npm.Host{Dir: cache, Home: cache}, Wait: time.Millisecond},
	}
}

// module is the source of one small program.
func module(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module example.test/prog\n\ngo 1.26\n",
		"tool/m.go": "package main\n\nfunc main() { println(\"guest\") }\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

type built struct {
	image  v1.Image
	key    string
	digest string
}

func build(t *testing.T, config imagebuild.Config, recipe *imagebuild.Recipe, selection imagebuild.Selection) built {
	t.Helper()
	job, err := imagebuild.New(config).Plan(t.Context(), recipe, selection)
	if err != nil {
		t.Fatal(err)
	}
	image, err := job.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return built{image: image, key: job.Key(), digest: digest.String()}
}

// fails returns the error of planning and building.
func fails(t *testing.T, config imagebuild.Config, recipe *imagebuild.Recipe, selection imagebuild.Selection) string {
	t.Helper()
	job, err := imagebuild.New(config).Plan(t.Context(), recipe, selection)
	if err == nil {
		_, err = job.Build(t.Context())
	}
	if err == nil {
		t.Fatal("no error")
	}
	return err.Error()
}

func valid(t *testing.T, image v1.Image) {
	t.Helper()
	if err := validate.Image(image); err != nil {
		t.Errorf("the image is not valid: %v", err)
	}
}

// tree is the flattened image, one line per name; text files show their content.
func tree(t *testing.T, image v1.Image) map[string]string {
	t.Helper()
	flat := mutate.Extract(image)
	defer func() { _ = flat.Close() }()
	lines := map[string]string{}
	reader := tar.NewReader(flat)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if len(content) > 1000 {
			content = fmt.Appendf(nil, "%d bytes", len(content))
		}
		if header.ModTime.Unix() != 0 {
			t.Errorf("%s has the time %v", header.Name, header.ModTime)
		}
		name := "/" + strings.TrimSuffix(header.Name, "/")
		lines[name] = strings.TrimSpace(fmt.Sprintf("%c %o %d:%d %s%s", header.Typeflag, header.Mode, header.Uid, header.Gid, header.Linkname, content))
	}
}

// npmRegistry serves packages; it answers 404 for all others.
type npmRegistry struct {
	*httptest.Server
	mu       sync.Mutex
	packages map[string][]byte
	asked    int
}

func serveNpm(t *testing.T) *npmRegistry {
	t.Helper()
	r := &npmRegistry{packages: map[string][]byte{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *npmRegistry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	r.asked++
	content, ok := r.packages[request.URL.Path]
	r.mu.Unlock()
	if !ok {
		http.NotFound(w, request)
		return
	}
	http.ServeContent(w, request, "", time.Time{}, bytes.NewReader(content))
}

// publish adds a package with one program and returns its recipe section.
func (r *npmRegistry) publish(t *testing.T, name, arch string) string {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zip)
	content := []byte("program " + name + " " + arch)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: "package/bin/" + name, Mode: 0o644, Size: int64(len(content))}
	if err := archive.WriteHeader(header); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.packages[fmt.Sprintf("/%s-%s/-/%s-%s-1.0.0.tgz", name, arch, name, arch)] = packed.Bytes()
	sum := sha512.Sum512(packed.Bytes())
	return fmt.Sprintf("[npm.%s]\npackage = \"%s-%s\"\nversion = \"1.0.0\"\nintegrity = \"sha512-%s\"\nfiles = [\"bin/%s\"]\nlinks = { %s = \"bin/%s\" }\n",
		arch, name, arch, base64.StdEncoding.EncodeToString(sum[:]), name, name, name)
}

func (r *npmRegistry) use(config *imagebuild.Config) {
	config.Npm.HTTP = r.Client()
	config.Npm.Host.Env = []string{"NPM_CONFIG_REGISTRY=" + r.URL}
}

// leftovers are the unfinished files in a cache.
func leftovers(t *testing.T, cache string) []string {
	t.Helper()
	var left []string
	err := filepath.WalkDir(cache, func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(filepath.Base(path), ".tmp-") || strings.HasSuffix(path, ".part") {
			left = append(left, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return left
}
