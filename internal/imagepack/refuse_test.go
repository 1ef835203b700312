package imagepack_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"bottle.internal/internal/imagepack"
)

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
