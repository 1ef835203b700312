package imagepack_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/client"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagepack"
)

// bundle is the image under test with the names that it must get.
func bundle(t *testing.T, b *bench) (image imagepack.Image, ref, id string) {
	t.Helper()
	image = b.built.image("one")
	image.Name = "bundle"
	made, err := newImage("one")
	must(t, err)
	config, err := made.ConfigName()
	must(t, err)
	return image, "bottle-bundle:" + config.Hex[:12], config.String()
}

func TestEnsureLoaded(t *testing.T) {
	t.Parallel()
	for name, containerd := range map[string]bool{"classic store": false, "containerd store": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			image, ref, id := bundle(t, b)
			docker, config := &engine{t: t, containerd: containerd}, id
			if containerd {
				id = "sha256:" + strings.Repeat("c", 64)
			}
			first, err := b.store().EnsureLoaded(t.Context(), docker, image)
			must(t, err)
			if first.Ref != ref || first.ID != id || first.Config != config || first.Sent == 0 || first.Cached {
				t.Errorf("first: %+v", first)
			}
			docker.take()
			b.said.take()
			second, err := b.store().EnsureLoaded(t.Context(), docker, image)
			must(t, err)
			if want := (imagepack.Loaded{Ref: ref, ID: id, Config: config, Cached: true}); second != want {
				t.Errorf("second = %+v, want %+v", second, want)
			}
			if diff := cmp.Diff([]string{"inspect " + ref}, docker.take()); diff != "" {
				t.Errorf("calls of the second time (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"skip load: bundle: the engine has " + ref}, b.said.take(event.Start, event.Skip, event.Done)); diff != "" {
				t.Errorf("events of the second time (-want +got):\n%s", diff)
			}
			if b.built.count() != 1 {
				t.Errorf("%d builds, want 1", b.built.count())
			}
			b.checkNoTemp(t)
		})
	}
}

// Which image it is is known without an engine, and built once for both.
func TestIdentify(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	image, _, id := bundle(t, b)
	for range 2 {
		identity, err := b.store().Identify(t.Context(), image)
		must(t, err)
		if identity.Config != id || !strings.HasPrefix(identity.Digest, "sha256:") || identity.Digest == id {
			t.Errorf("identity = %+v, want the config %s", identity, id)
		}
	}
	loaded, err := b.store().EnsureLoaded(t.Context(), &engine{t: t}, image)
	must(t, err)
	if loaded.Config != id || loaded.Sent == 0 {
		t.Errorf("loaded = %+v", loaded)
	}
	b.checkNoTemp(t)
}

func TestEnsureLoadedTagsWhatIsThere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	image, ref, id := bundle(t, b)
	docker := &engine{t: t}
	made, err := newImage("one")
	must(t, err)
	must(t, docker.store(made, "other:tag"))
	// The tag points at something else, as after a hash collision or a prank.
	other, err := newImage("two")
	must(t, err)
	must(t, docker.store(other, ref))
	loaded, err := b.store().EnsureLoaded(t.Context(), docker, image)
	must(t, err)
	if want := (imagepack.Loaded{Ref: ref, ID: id, Config: id, Cached: true}); loaded != want {
		t.Errorf("loaded = %+v, want %+v", loaded, want)
	}
	if diff := cmp.Diff([]string{"inspect " + ref, "inspect " + id, "tag " + id + " " + ref}, docker.take()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestEnsureLoadedReloadsWhatWasRemoved(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	image, _, _ := bundle(t, b)
	docker := &engine{t: t}
	_, err := b.store().EnsureLoaded(t.Context(), docker, image)
	must(t, err)
	docker.images = nil // docker image prune
	again, err := b.store().EnsureLoaded(t.Context(), docker, image)
	must(t, err)
	if again.Cached || again.Sent == 0 || b.built.count() != 2 {
		t.Errorf("again: %+v, %d builds", again, b.built.count())
	}
}

func TestEnsureLoadedReportsFailures(t *testing.T) {
	t.Parallel()
	other, err := newImage("two")
	must(t, err)
	otherName, err := other.ConfigName()
	must(t, err)
	otherID := otherName.String()
	discard := func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }
	const begin = "loading image bundle into the engine: "
	for name, test := range map[string]struct {
		engine *engine
		image  func(*imagepack.Image)
		want   string // with REF and ID
	}{
		"error in the stream": {
			engine: &engine{load: discard, answer: `{"stream":"x"}{"errorDetail":{"message":"archive/tar: invalid tar header"},"error":"archive/tar: invalid tar header"}`},
			want:   begin + "the engine refused the archive: archive/tar: invalid tar header",
		},
		"control characters in it": {
			engine: &engine{load: discard, answer: `{"error":"\u001b[2Jgone"}`},
			want:   begin + `the engine refused the archive: \x1b[2Jgone`,
		},
		"error without words": {
			engine: &engine{load: discard, answer: `{"errorDetail":{"code":1}}`},
			want:   begin + "the engine refused the archive: an error without a message",
		},
		"full disk": {
			engine: &engine{load: discard, answer: `{"errorDetail":{"message":"write /var/lib/docker/tmp/x: no space left on device"}}`},
			want:   begin + "no space left on the disk of the container engine\nhint: docker system df",
		},
		"answer cut off": {
			engine: &engine{load: discard, answer: `{"stream":`},
			want:   begin + "reading the engine's answer: unexpected EOF",
		},
		"no JSON": {
			engine: &engine{load: discard, answer: `<html>`},
			want:   begin + "reading the engine's answer: invalid character '<' looking for beginning of value",
		},
		"engine hangs up early": {
			engine: &engine{load: func(r io.Reader) error { _, _ = io.CopyN(io.Discard, r, 100); return io.ErrUnexpectedEOF }},
			want:   begin + "sending the archive: unexpected EOF",
		},
		"says yes, has nothing": {
			engine: &engine{load: discard},
			want:   begin + "asking the engine for what was loaded: No such image: REF: not found",
		},
		"has another image under the tag": {
			engine: &engine{foreign: "two"},
			want:   begin + "the engine has image OTHER as REF, not the ID that it was sent",
		},
		"layers cannot be read": {
			image: func(i *imagepack.Image) {
				build := i.Build
				i.Build = func(ctx context.Context) (v1.Image, error) {
					image, err := build(ctx)
					return &brokenLayers{Image: image, err: errors.New("cache is gone")}, err
				}
			},
			engine: &engine{load: discard},
			want:   begin + "cache is gone",
		},
		"build fails": {
			image: func(i *imagepack.Image) {
				i.Build = func(context.Context) (v1.Image, error) { return nil, errors.New("no base") }
			},
			engine: &engine{},
			want:   begin + "building: no base",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			image, ref, id := bundle(t, b)
			if test.image != nil {
				test.image(&image)
			}
			docker := test.engine
			docker.t = t
			_, err := b.store().EnsureLoaded(t.Context(), docker, image)
			want := strings.NewReplacer("REF", ref, "ID", id, "OTHER", otherID).Replace(test.want)
			if withHints(err) != want {
				t.Errorf("err = %s\nwant  %s", withHints(err), want)
			}
			b.checkNoTemp(t)
		})
	}
}

func (down) ImageInspect(context.Context, string, ...client.ImageInspectOption) (client.ImageInspectResult, error) {
	return client.ImageInspectResult{}, errors.New("cannot connect")
}

func TestEnsureLoadedWithoutAnEngine(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	image, ref, _ := bundle(t, b)
	_, err := b.store().EnsureLoaded(t.Context(), down{}, image)
	want := "loading image bundle into the engine: asking the engine for " + ref + ": cannot connect"
	if err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
}

func TestEnsureLoadedStopsWithItsContext(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	image, _, _ := bundle(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	docker := &engine{t: t, load: func(r io.Reader) error {
		cancel()
		_, err := io.Copy(io.Discard, r)
		return err
	}}
	if _, err := b.store().EnsureLoaded(ctx, docker, image); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	b.checkNoTemp(t)
	if _, err := os.Stat(b.dir); err != nil {
		t.Error(err)
	}
}
