//go:build integration

package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/imagebuild/debian"
	"bottle.internal/internal/imagebuild/npm"
	"bottle.internal/internal/imagepack"
	"bottle.internal/tests/integration/rig"
)

// usersCache is where bottle itself keeps what it built.
func usersCache(b *testing.B) string {
	b.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		b.Fatal(err)
	}
	return filepath.Join(rig.Dir("XDG_CACHE_HOME", home, ".cache"), "bottle")
}

// plan is the agent's image with tools, as bottle plans it, in a cache of our choice.
func plan(b *testing.B, r *rig.Rig, cache string, tools ...string) *imagebuild.Job {
	b.Helper()
	return planOf(b, r, cache, agentRecipe(b, r), tools...)
}

func planOf(b *testing.B, r *rig.Rig, cache string, recipe *imagebuild.Recipe, tools ...string) *imagebuild.Job {
	b.Helper()
	me, err := user.Current()
	if err != nil {
		b.Fatal(err)
	}
	builder := imagebuild.New(imagebuild.Config{
		CacheDir: cache, Root: filepath.Join(r.Source, "images"),
		Programs: &gobuild.Builder{Root: r.Source, CacheDir: usersCache(b), Env: r.Env},
		Base: imagebuild.BaseOptions{Choice: choice(r), Debian: debian.Host{
			Root: os.DirFS("/"), Env: r.Env, OS: runtime.GOOS, Arch: runtime.GOARCH, UID: os.Getuid(), User: me.Username,
		}},
		Npm: imagebuild.NpmOptions{Lock: lock(b, r), Host: npm.Host{Env: r.Env, Dir: r.Source, Home: me.HomeDir}},
	})
	job, err := builder.Plan(b.Context(), recipe, imagebuild.Selection{
		Platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH}, Tools: tools,
	})
	if err != nil {
		b.Fatal(err)
	}
	return job
}

func agentRecipe(b *testing.B, r *rig.Rig) *imagebuild.Recipe {
	b.Helper()
	return recipeOf(b, r, "agent")
}

func recipeOf(b *testing.B, r *rig.Rig, image string) *imagebuild.Recipe {
	b.Helper()
	recipe, err := imagebuild.LoadRecipe(os.DirFS(filepath.Join(r.Source, "images")), image)
	if err != nil {
		b.Fatal(err)
	}
	return recipe
}

func choice(r *rig.Rig) string {
	for _, entry := range r.Env {
		if value, ok := strings.CutPrefix(entry, "BOTTLE_BASE="); ok {
			return value
		}
	}
	return ""
}

// server is an empty registry on the loopback, as bottle runs one while it packs.
func server(b *testing.B) (address string, stop func()) {
	b.Helper()
	blobs := registry.NewDiskBlobHandler(b.TempDir())
	s := httptest.NewServer(registry.New(registry.WithBlobHandler(blobs), registry.Logger(log.New(io.Discard, "", 0))))
	return strings.TrimPrefix(s.URL, "http://"), s.Close
}

// baseLayers are the layers that both sides are given.
func baseLayers(b *testing.B, image v1.Image) []v1.Layer {
	b.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		b.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		b.Fatal(err)
	}
	count := 0
	for _, entry := range config.History {
		if strings.HasPrefix(entry.CreatedBy, "bottle base ") {
			count++
		}
	}
	if count == 0 {
		b.Fatal("the image has no base")
	}
	return layers[:count]
}

// freshLayers is a cache with the base and the downloads, and nothing made of them yet.
func freshLayers(b *testing.B, base []v1.Layer) string {
	b.Helper()
	users, cache := usersCache(b), b.TempDir()
	entries, err := os.ReadDir(users)
	if err != nil {
		b.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != "layers" {
			if err := os.Symlink(filepath.Join(users, entry.Name()), filepath.Join(cache, entry.Name())); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(cache, "layers"), 0o755); err != nil {
		b.Fatal(err)
	}
	kept := 0
	for _, one := range base {
		digest, err := one.Digest()
		if err != nil {
			b.Fatal(err)
		}
		kept += copyLayer(b, users, cache, digest.String())
	}
	if kept != len(base) {
		b.Fatalf("%d of %d base layers are in the cache", kept, len(base))
	}
	return cache
}

// copyLayer copies the layer whose record names a digest.
func copyLayer(b *testing.B, from, to, digest string) int {
	b.Helper()
	records, err := filepath.Glob(filepath.Join(from, "layers", "*.json"))
	if err != nil {
		b.Fatal(err)
	}
	for _, record := range records {
		data, err := os.ReadFile(record)
		if err != nil || !strings.Contains(string(data), digest) {
			continue
		}
		for _, path := range []string{strings.TrimSuffix(record, ".json"), record} {
			data, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(filepath.Join(to, "layers", filepath.Base(path)), data, 0o644)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		return 1
	}
	return 0
}

// BenchmarkColdImage is the image of Claude Code out of its base and its downloaded
// tarball, built and pushed, against Docker's own builder and push of the same content
// to the same kind of registry. Docker's side leaves our small layers out.
func BenchmarkColdImage(b *testing.B) {
	r := prepared(b)
	const tool = "claude"
	image, err := plan(b, r, usersCache(b), tool).Build(b.Context()) // downloads what is missing
	if err != nil {
		b.Fatal(err)
	}
	base := baseLayers(b, image)
	docker := newDocker(b, base, tool, integrity(b, r, tool))
	compare(b, runs(b, 3),
		step{"plan, build and push by us", func(b *testing.B) time.Duration {
			cache := freshLayers(b, base)
			address, stop := server(b)
			defer stop()
			begin := time.Now()
			image, err := plan(b, r, cache, tool).Build(b.Context())
			if err == nil {
				err = push(b.Context(), address, image)
			}
			took := time.Since(begin)
			if err != nil {
				b.Fatal(err)
			}
			return took
		}},
		step{"docker build and docker push", docker.buildAndPush},
		goal{"ratio at most 0.5", func(ours, against float64) bool { return ours <= against/2 }})
}

func push(ctx context.Context, address string, image v1.Image) error {
	reference, err := name.ParseReference(address + "/agent:latest")
	if err != nil {
		return err
	}
	return remote.Write(reference, image, remote.WithContext(ctx))
}

// nobody packs nothing: a hit must not come to it.
type nobody struct{ name, version string }

func (n nobody) Tool() (name, version string) { return n.name, n.version }

func (nobody) PackCreate(context.Context, string, string, string, io.Writer) error {
	return errors.New("a hit must not pack")
}

// BenchmarkCacheHit is the question whether an artifact is there, against reading it,
// which is what the answer would cost without records. A machine that is made of the
// artifact may touch its file: the first question after that does read it.
func BenchmarkCacheHit(b *testing.B) {
	r := prepared(b)
	path := artifact(b, r)
	job := plan(b, r, usersCache(b))
	version, err := r.VM(b.Context(), "--version")
	if err != nil {
		b.Fatal(err)
	}
	tool := strings.Fields(version.Stdout)
	store := imagepack.NewStore(imagepack.Config{
		CacheDir: usersCache(b), Packer: nobody{tool[0], tool[1]}, Platform: "linux/" + runtime.GOARCH,
	})
	image := imagepack.Image{Name: "agent", Key: job.Key(), Build: job.Build}
	compare(b, runs(b, 15),
		timed("Ensure of what is there", func(b *testing.B) {
			if found, err := store.Ensure(b.Context(), image); err != nil || !found.Cached || found.Path != path {
				b.Fatalf("%+v, %v", found, err)
			}
		}),
		timed("sha256 of the artifact", func(b *testing.B) {
			file, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			if _, err := io.Copy(sha256.New(), file); err != nil {
				b.Fatal(err)
			}
		}),
		goal{"ours at most 100 ms", func(ours, _ float64) bool { return ours <= 100 }})
}
