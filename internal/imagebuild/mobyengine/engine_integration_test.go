//go:build integration

package mobyengine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/moby/moby/client"

	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/imagebuild/mobyengine"
	"bottle.internal/tests/need"
)

// TestRealEngine builds a Dockerfile in the engine and an image of ours on top.
func TestRealEngine(t *testing.T) {
	engine, err := client.New(client.FromEnv)
	if err == nil {
		t.Cleanup(func() { _ = engine.Close() })
		_, err = engine.Ping(t.Context(), client.PingOptions{})
	}
	need.Need(t, "docker", err)
	const name = "bottle-test-base:imagebuild"
	t.Cleanup(func() {
		_, _ = engine.ImageRemove(context.WithoutCancel(t.Context()), name, client.ImageRemoveOptions{Force: true, PruneChildren: true})
	})
	root := t.TempDir()
	dir := filepath.Join(root, "r", "docker")
	err = errors.Join(os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY marker /etc/\nENV FROM_DOCKER=1\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "marker"), []byte("x"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := imagebuild.LoadRecipe(fstest.MapFS{"r/image.toml": {Data: []byte("base = \"docker:" + name + "\"\ndockerfile = \"docker/Dockerfile\"\n[[directory]]\npath = \"/work\"\nmode = \"0755\"\n")}}, "r")
	if err != nil {
		t.Fatal(err)
	}
	builder := imagebuild.New(imagebuild.Config{CacheDir: t.TempDir(), Root: root, Engine: mobyengine.New(engine)})
	job, err := builder.Plan(t.Context(), recipe, imagebuild.Selection{Platform: imagebuild.Platform{OS: "linux", Architecture: runtime.GOARCH}})
	if err != nil {
		t.Fatal(err)
	}
	image, err := job.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(image); err != nil {
		t.Error(err)
	}
	config, err := image.ConfigFile()
	if err != nil || !slices.Contains(config.Config.Env, "FROM_DOCKER=1") || len(config.RootFS.DiffIDs) != 2 {
		t.Errorf("config %+v, %v", config, err)
	}
}
