package imagepack_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagepack"
)

func TestEnsureMakesOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.ensure(t, "one")
	if first.Cached || first.Via != imagepack.ViaPack || first.Pushed == 0 {
		t.Errorf("first artifact: %+v", first)
	}
	if info, err := os.Stat(first.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the artifact: %v, %v", info.Mode(), err)
	}
	if want := filepath.Join(b.dir, "packs", first.Key+".smolmachine"); first.Path != want {
		t.Errorf("path = %s, want %s", first.Path, want)
	}
	b.said.take()

	second := b.ensure(t, "one")
	if !second.Cached || second.Pushed != 0 || second.Path != first.Path || second.SHA256 != first.SHA256 || second.ImageDigest != first.ImageDigest {
		t.Errorf("second artifact: %+v", second)
	}
	if b.built.count() != 1 || b.packer.count() != 1 {
		t.Errorf("%d builds and %d packs, want 1 and 1", b.built.count(), b.packer.count())
	}
	want := []string{"skip pack: agent: nothing changed (" + first.Key[:12] + ")"}
	if diff := cmp.Diff(want, b.said.take(event.Start, event.Done, event.Skip, event.Info, event.Warn)); diff != "" {
		t.Errorf("events of the second time (-want +got):\n%s", diff)
	}
}

func TestUnchangedImagePushesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.ensure(t, "one")
	b.packer.version = "1.10.0" // another tool: the image is the same, the artifact is not
	second := b.ensure(t, "one")
	if second.Cached || second.Pushed != 0 || second.Key == first.Key || b.packer.count() != 2 {
		t.Errorf("after an upgrade of the tool: %+v, %d packs", second, b.packer.count())
	}
	want := []imagepack.Change{{Name: "tool", Was: "smolvm-fake 1.9.3", Now: "smolvm-fake 1.10.0"}}
	if diff := cmp.Diff(want, second.Explain.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}

	// A blob that rotted is sent again, and only that.
	blobs, err := filepath.Glob(filepath.Join(b.dir, "registry", "sha256", "*"))
	if err != nil || len(blobs) != 2 {
		t.Fatalf("blobs: %v, %v", blobs, err)
	}
	raw, err := os.ReadFile(blobs[0])
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(blobs[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	b.packer.version = "1.11.0"
	if third := b.ensure(t, "one"); third.Pushed != int64(len(raw)) {
		t.Errorf("pushed %d bytes, want the %d of the damaged blob", third.Pushed, len(raw))
	}
}

func TestAnotherRecipeForTheSameImage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.ensure(t, "one")
	image := b.built.image("one")
	image.Key = recipeKey("a comment was added")
	again, err := b.store().Ensure(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Cached || again.Path != first.Path || b.packer.count() != 1 || b.built.count() != 2 {
		t.Errorf("again: %+v, %d packs, %d builds", again, b.packer.count(), b.built.count())
	}
}

func TestPackerOptionsAndPlatformShapeTheKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keys := map[string]string{}
	for name, options := range map[string][]imagepack.Part{
		"none": nil, "mem": {{Name: "mem", Value: "2048"}}, "cpus": {{Name: "cpus", Value: "2048"}},
		"both": {{Name: "cpus", Value: "2"}, {Name: "mem", Value: "2048"}},
	} {
		store := imagepack.NewStore(imagepack.Config{CacheDir: b.dir, Packer: b.packer, Platform: platform, Options: options})
		artifact, err := store.Ensure(t.Context(), b.built.image("one"))
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := keys[artifact.Key]; taken {
			t.Errorf("options %s and %s have the same key", name, other)
		}
		keys[artifact.Key] = name
	}
}

func TestConcurrentEnsureBuildsOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	packing, waiting := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.packer.before = func(context.Context, string) error {
		close(packing)
		<-waiting // the other one has said that it waits
		return nil
	}
	sink := event.SinkFunc(func(ctx context.Context, e event.Event) {
		b.said.Send(ctx, e)
		if e.Kind == event.Info && strings.Contains(e.Text, "waiting for process") {
			once.Do(func() { close(waiting) })
		}
	})
	run := func() imagepack.Artifact {
		store := imagepack.NewStore(imagepack.Config{CacheDir: b.dir, Packer: b.packer, Platform: platform, Events: sink})
		artifact, err := store.Ensure(t.Context(), b.built.image("one"))
		if err != nil {
			t.Error(err)
		}
		return artifact
	}
	results := make(chan imagepack.Artifact, 2)
	var group sync.WaitGroup
	group.Go(func() { results <- run() })
	<-packing
	group.Go(func() { results <- run() })
	group.Wait()
	one, two := <-results, <-results
	if one.SHA256 != two.SHA256 || one.Cached == two.Cached {
		t.Errorf("results: %+v\n%+v", one, two)
	}
	if b.built.count() != 1 || b.packer.count() != 1 {
		t.Errorf("%d builds and %d packs, want 1 and 1", b.built.count(), b.packer.count())
	}
	b.checkNoTemp(t)
}

func TestArchiveFallback(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.packer.before = func(context.Context, string) error {
		return errors.Join(imagepack.ErrRegistryRefused, errors.New("egress floor"))
	}
	first := b.ensure(t, "one")
	if first.Via != imagepack.ViaArchive || first.Cached || !strings.HasSuffix(first.Path, first.Key+".tar") {
		t.Errorf("first: %+v", first)
	}
	image, err := tarball.ImageFromPath(first.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	want, err := newImage("one")
	if err != nil {
		t.Fatal(err)
	}
	if id, err := want.ConfigName(); err != nil || id != got {
		t.Errorf("image id in the archive = %s, want %s (%v)", got, id, err)
	}
	if second := b.ensure(t, "one"); !second.Cached || second.Via != imagepack.ViaArchive || b.packer.count() != 1 {
		t.Errorf("second: %+v, %d packs", second, b.packer.count())
	}
	// The archive has no footer; damage is found all the same.
	flipByte(t, first.Path)
	if third := b.ensure(t, "one"); third.Cached || third.SHA256 != first.SHA256 {
		t.Errorf("third: %+v", third)
	}
}

func TestEnsureRefuses(t *testing.T) {
	t.Parallel()
	image, err := newImage("one")
	must(t, err)
	manifest, err := image.Manifest()
	must(t, err)
	layer := manifest.Layers[0]
	enospc := &os.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}
	noSpace := func(dir string) string {
		return "packing image agent: no space left on the disk of " + dir +
			"\nhint: free some space, or drop what can be made again: rm -r '" + dir + "/packs'"
	}
	plain := func(text string) func(string) string { return func(string) string { return text } }
	for name, test := range map[string]struct {
		image  func(*imagepack.Image)
		packer *packer
		want   func(dir string) string
	}{
		"name": {
			image: func(i *imagepack.Image) { i.Name = "../agent" },
			want:  plain(`packing image ../agent: image: invalid name "../agent": it must begin with a letter from a to z`),
		},
		"key": {
			image: func(i *imagepack.Image) { i.Key = "../../x" },
			want:  plain(`packing image agent: recipe key "../../x" is not a sha256 in hex`),
		},
		"build fails": {
			image: func(i *imagepack.Image) {
				i.Build = func(context.Context) (v1.Image, error) { return nil, errors.New("no base") }
			},
			want: plain(`packing image agent: building: no base`),
		},
		"platform": {
			image: func(i *imagepack.Image) {
				i.Build = func(context.Context) (v1.Image, error) {
					image, err := newImage("x")
					if err != nil {
						return nil, err
					}
					return mutate.ConfigFile(image, &v1.ConfigFile{OS: "linux", Architecture: "arm64"})
				}
			},
			want: plain(`packing image agent: the image is for linux/arm64, not for linux/amd64`),
		},
		"tool fails": {
			packer: &packer{before: func(context.Context, string) error { return errors.New("Error: kvm not available") }},
			want:   plain(`packing image agent: running smolvm-fake pack create: Error: kvm not available`),
		},
		"full disk, by errno": {
			packer: &packer{before: func(context.Context, string) error { return &wordless{enospc} }},
			want:   noSpace,
		},
		"quota": {
			packer: &packer{before: func(context.Context, string) error { return &wordless{syscall.EDQUOT} }},
			want:   noSpace,
		},
		"a layer that is not what the manifest says": {
			image: func(i *imagepack.Image) {
				build := i.Build
				i.Build = func(ctx context.Context) (v1.Image, error) {
					image, err := build(ctx)
					return &brokenLayers{Image: image, err: io.EOF}, err
				}
			},
			want: plain(fmt.Sprintf("packing image agent: pushing to the local registry: storing blob %s: "+
				"the image delivered 4 bytes with sha256 %s, not %d", layer.Digest, recipeKey("some"), layer.Size)),
		},
		"full disk, in the tool's words": {
			packer: &packer{before: func(context.Context, string) error {
				return errors.New("smolvm: exit status 1: Error: write layer: No space left on device (os error 28)")
			}},
			want: noSpace,
		},
		"full disk, while pushing": {
			image: func(i *imagepack.Image) {
				build := i.Build
				i.Build = func(ctx context.Context) (v1.Image, error) {
					image, err := build(ctx)
					return &brokenLayers{Image: image, err: enospc}, err
				}
			},
			want: noSpace,
		},
		"no output": {
			packer: &packer{write: func(string, []byte) error { return nil }},
			want:   nil, // names a random directory, see below
		},
		"no footer": {
			packer: &packer{write: func(output string, content []byte) error {
				return os.WriteFile(output+".smolmachine", content, 0o600)
			}},
			want: plain(`packing image agent: checking the new pack: it does not end like a pack: truncated, or no pack at all`),
		},
		"nothing but a footer": {
			packer: &packer{write: func(output string, _ []byte) error {
				return os.WriteFile(output+".smolmachine", withFooter(nil), 0o600)
			}},
			want: plain(`packing image agent: checking the new pack: it does not end like a pack: truncated, or no pack at all`),
		},
		"a directory": {
			packer: &packer{write: func(output string, _ []byte) error { return os.Mkdir(output+".smolmachine", 0o700) }},
		},
		"a symlink": {
			packer: &packer{write: func(output string, _ []byte) error { return os.Symlink("/etc/hostname", output+".smolmachine") }},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if test.packer != nil {
				b.packer = test.packer
			}
			image := b.built.image("one")
			if test.image != nil {
				test.image(&image)
			}
			_, err := b.store().Ensure(t.Context(), image)
			switch {
			case err == nil:
				t.Fatal("no error")
			case test.want != nil && withHints(err) != test.want(b.dir):
				t.Errorf("err = %q\nwant  %q", withHints(err), test.want(b.dir))
			case !strings.HasPrefix(err.Error(), "packing image "):
				t.Errorf("err = %q", err)
			}
			b.checkNoTemp(t)
			if found, _ := filepath.Glob(filepath.Join(b.dir, "packs", "*.smolmachine")); len(found) > 0 {
				t.Errorf("an artifact came of it: %v", found)
			}
			// And the next one, with everything in order, works.
			b.packer = &packer{}
			b.ensure(t, "one")
		})
	}
}

// wordless is a failure that only errors.Is can tell.
type wordless struct{ err error }

func (*wordless) Error() string   { return "writing failed" }
func (w *wordless) Unwrap() error { return w.err }

// brokenLayers is an image whose layers cannot be read.
type brokenLayers struct {
	v1.Image
	err error
}

type brokenLayer struct {
	v1.Layer
	err error
}

func (b *brokenLayers) Layers() ([]v1.Layer, error) {
	layers, err := b.Image.Layers()
	for i := range layers {
		layers[i] = &brokenLayer{layers[i], b.err}
	}
	return layers, err
}

func (b *brokenLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(strings.NewReader("some"), &failing{b.err})), nil
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// countdown is a context that is cancelled at the n-th look at it.
type countdown struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		c.cancel()
	}
	return c.Context.Err()
}

func TestCancelAnywhereLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, refuse := range []error{nil, imagepack.ErrRegistryRefused} {
		b := newBench(t)
		b.packer.before = func(context.Context, string) error { return refuse }
		for n := int64(0); ; n++ {
			if n > 10_000 {
				t.Fatal("it never ends well")
			}
			inner, cancel := context.WithCancel(t.Context())
			ctx := &countdown{Context: inner, cancel: cancel}
			ctx.left.Store(n)
			_, err := b.store().Ensure(ctx, b.built.image("one"))
			cancel()
			b.checkNoTemp(t)
			if err == nil {
				if n < 5 {
					t.Errorf("only %d points where a cancellation is seen", n)
				}
				break
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("cancelled at look %d: err = %v", n, err)
			}
		}
	}
}

func TestRegistryIsUpOnlyWhilePacking(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	addr := ""
	b.packer.before = func(_ context.Context, ref string) error {
		addr, _, _ = strings.Cut(ref, "/")
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	b.ensure(t, "one")
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Errorf("somebody still listens on %s", addr)
	}
	if !strings.HasPrefix(addr, "127.0.0.1:") {
		t.Errorf("the registry listened on %s", addr)
	}
}
