//go:build integration

package imagepack_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bottle.internal/internal/imagepack"
	"bottle.internal/tests/need"
)

func dockerEngine(t *testing.T) *client.Client {
	t.Helper()
	engine, err := client.New(client.FromEnv)
	must(t, err)
	t.Cleanup(func() { _ = engine.Close() })
	_, err = engine.Ping(t.Context(), client.PingOptions{})
	need.Need(t, "docker", err)
	return engine
}

func TestRealEngineLoads(t *testing.T) {
	engine := dockerEngine(t)
	b := newBench(t)
	image := b.built.image("integration " + time.Now().String()) // the engine has never seen it
	image.Name = "imagepack-test"
	first, err := b.store().EnsureLoaded(t.Context(), engine, image)
	if first.ID != "" {
		t.Cleanup(func() {
			if _, err := engine.ImageRemove(context.WithoutCancel(t.Context()), first.ID, client.ImageRemoveOptions{Force: true}); err != nil {
				t.Errorf("removing the test's image: %v", err)
			}
		})
	}
	must(t, err)
	if first.Cached || first.Sent == 0 {
		t.Errorf("first: %+v", first)
	}
	got, err := engine.ImageInspect(t.Context(), first.Ref)
	must(t, err)
	if got.ID != first.ID || got.Architecture != "amd64" || len(got.RootFS.Layers) != 1 {
		t.Errorf("the engine has %+v as %s", got.InspectResponse, first.Ref)
	}
	second, err := b.store().EnsureLoaded(t.Context(), engine, image)
	must(t, err)
	if want := (imagepack.Loaded{Ref: first.Ref, ID: first.ID, Config: first.Config, Cached: true}); second != want {
		t.Errorf("second = %+v, want %+v", second, want)
	}
	// Without its tag the image is found by its id, and nothing is sent.
	other := "bottle-imagepack-test:kept"
	_, err = engine.ImageTag(t.Context(), client.ImageTagOptions{Source: first.ID, Target: other})
	must(t, err)
	_, err = engine.ImageRemove(t.Context(), first.Ref, client.ImageRemoveOptions{})
	must(t, err)
	third, err := b.store().EnsureLoaded(t.Context(), engine, image)
	must(t, err)
	if third.Sent != 0 || third.ID != first.ID {
		t.Errorf("third = %+v", third)
	}
}

func TestRealEngineRefuses(t *testing.T) {
	engine := dockerEngine(t)
	result, err := engine.ImageLoad(t.Context(), strings.NewReader(strings.Repeat("no tar ", 1000)))
	if err == nil {
		err = errors.Join(imagepack.LoadResult(result), result.Close())
	}
	if err == nil {
		t.Error("the engine took garbage for an image")
	}
}

// A disk of 64 kB, which needs root.
func TestRealFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
	for name, packer := range map[string]*packer{
		"while the tool writes": {write: func(output string, _ []byte) error {
			return os.WriteFile(output+".smolmachine", make([]byte, 1<<20), 0o600)
		}},
		"while the archive is written": {write: func(output string, _ []byte) error {
			_ = os.WriteFile(output, make([]byte, 1<<20), 0o600) // all that is left
			return imagepack.ErrRegistryRefused
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.dir, b.packer = dir, packer
			_, err := b.store().Ensure(t.Context(), b.built.image("one"))
			if _, ok := errors.AsType[*imagepack.NoSpaceError](err); !ok {
				t.Errorf("err = %v", err)
			}
			b.checkNoTemp(t)
		})
	}
}
