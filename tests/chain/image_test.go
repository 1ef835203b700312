//go:build integration

package chain

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"bottle.internal/internal/event"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/imagebuild/debian"
	"bottle.internal/internal/imagebuild/mobyengine"
	"bottle.internal/internal/imagepack"
	"bottle.internal/pkg/bundle"
)

const (
	strangerPath = "/usr/local/bin/stranger"
	spyPath      = "/usr/local/bin/spy"
	// planted is in a file of the watched image, encoded: the control of all searches.
	planted     = "planted-for-the-control-of-a-search"
	plantedPath = "/etc/planted"
)

// makeImages loads the bundle's image, as `bottle images` does with the same cache, and
// makes one more with what the tests look around with.
func makeImages(ctx context.Context, engine *client.Client) error {
	root, err := gobuild.FindRoot(".")
	if err != nil {
		return err
	}
	if shared.image, err = loadBundle(ctx, engine, root); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", owner) // not t.TempDir: another user runs a program there
	if err != nil {
		return err
	}
	shared.Later(func() error { return os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	shared.stranger = filepath.Join(dir, "stranger")
	files := map[string][]byte{plantedPath: []byte(base64.StdEncoding.EncodeToString([]byte("x" + planted)))}
	for path, source := range map[string]string{
		strangerPath: "./tests/chain/testdata/stranger",
		spyPath:      "./pkg/bundle/testdata/spy",
	} {
		output := filepath.Join(dir, filepath.Base(path))
		build := execx.Cmd{Path: "go", Args: []string{"build", "-trimpath", "-o", output, source}, Dir: root, Env: append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")}
		if err := execx.Run(ctx, build); err != nil {
			return err
		}
		if files[path], err = os.ReadFile(output); err != nil {
			return err
		}
	}
	return deriveImage(ctx, engine, files)
}

func loadBundle(ctx context.Context, engine *client.Client, root string) (ref string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "bottle")
	base := os.Getenv("BOTTLE_BASE")
	if base == "" {
		base = "debian"
	}
	images := filepath.Join(root, "images")
	builder := imagebuild.New(imagebuild.Config{
		Root: images, CacheDir: cache, Engine: mobyengine.New(engine), Events: event.Discard(),
		Programs: &gobuild.Builder{Root: root, CacheDir: cache, Env: os.Environ()},
		Base: imagebuild.BaseOptions{Choice: base, Debian: debian.Host{
			Root: os.DirFS("/"), Env: os.Environ(), OS: runtime.GOOS, Arch: runtime.GOARCH, UID: os.Getuid(), User: os.Getenv("USER"),
		}},
	})
	recipe, err := imagebuild.LoadRecipe(os.DirFS(images), "bundle")
	if err != nil {
		return "", err
	}
	platform := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	job, err := builder.Plan(ctx, recipe, imagebuild.Selection{Platform: platform})
	if err != nil {
		return "", err
	}
	store := imagepack.NewStore(imagepack.Config{CacheDir: cache, Platform: platform.String(), Events: event.Discard()})
	loaded, err := store.EnsureLoaded(ctx, engine, imagepack.Image{Name: "bundle", Key: job.Key(), Build: job.Build})
	return loaded.Ref, err
}

// deriveImage puts files on top of the bundle's image. It is gone at the end.
func deriveImage(ctx context.Context, engine *client.Client, files map[string][]byte) error {
	created, err := engine.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{Image: shared.image, Labels: map[string]string{bundle.LabelOwner: owner}},
	})
	if err != nil {
		return err
	}
	remove := func() error {
		_, err := engine.ContainerRemove(ctx, created.ID, client.ContainerRemoveOptions{Force: true})
		return err
	}
	if err := copyTo(ctx, engine, created.ID, files); err != nil {
		return errors.Join(err, remove())
	}
	shared.watched = owner + ":" + strings.ToLower(rand.Text())
	// The label must not be on the image: containers would take it over.
	_, err = engine.ContainerCommit(ctx, created.ID, client.ContainerCommitOptions{Reference: shared.watched, Config: &container.Config{}})
	if err != nil {
		return errors.Join(err, remove())
	}
	shared.Later(func() error {
		_, err := engine.ImageRemove(ctx, shared.watched, client.ImageRemoveOptions{Force: true, PruneChildren: true})
		return err
	})
	return remove()
}

// copyTo writes programs into a container that does not run yet.
func copyTo(ctx context.Context, engine *client.Client, id string, files map[string][]byte) error {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for path, data := range files {
		if err := writer.WriteHeader(&tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: 0o755, Size: int64(len(data))}); err != nil {
			return err
		}
		if _, err := writer.Write(data); err != nil {
			return err
		}
	}
	if err := writer.Close(); err != nil {
		return err
	}
	_, err := engine.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: "/", Content: &archive})
	return err
}
