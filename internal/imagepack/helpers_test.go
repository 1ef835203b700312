package imagepack_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagepack"
	"bottle.internal/tests/fakeimage"
)

const platform = "linux/amd64"

// recipeKey makes a key as a recipe would have it.
func recipeKey(seed string) string {
	sum := sha256.Sum256([]byte(seed))
	return hex.EncodeToString(sum[:])
}

// newImage is a small image whose bytes depend on the content alone.
func newImage(content string) (v1.Image, error) {
	file := fakeimage.File{Header: tar.Header{Name: "content", Typeflag: tar.TypeReg, Mode: 0o644}, Content: content}
	layer, err := fakeimage.Try([]fakeimage.File{file}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config.Cmd = []string{"/content"}
	return mutate.ConfigFile(image, config)
}

// counted is an Image that counts how often it is built.
type counted struct {
	mu     sync.Mutex
	builds int
}

func (c *counted) image(seed string) imagepack.Image {
	return imagepack.Image{
		Name: "agent", Key: recipeKey(seed), Parts: []imagepack.Part{{Name: "base", Value: seed}},
		Build: func(context.Context) (v1.Image, error) {
			c.mu.Lock()
			c.builds++
			c.mu.Unlock()
			return newImage(seed)
		},
	}
}

func (c *counted) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.builds
}

// packer stands for the VM tool: it pulls the image as crane would and writes the two
// files that the contract promises. Nil hooks do the right thing.
type packer struct {
	version string
	before  func(ctx context.Context, ref string) error // runs before the pull
	write   func(output string, content []byte) error   // instead of writing the outputs

	mu    sync.Mutex
	packs int
}

func (p *packer) Tool() (string, string) {
	if p.version == "" {
		return "smolvm-fake", "1.9.3"
	}
	return "smolvm-fake", p.version
}

func (p *packer) PackCreate(ctx context.Context, ref, output, want string, progress io.Writer) error {
	p.mu.Lock()
	p.packs++
	p.mu.Unlock()
	if strings.HasSuffix(output, ".smolmachine") {
		return errors.New("Error: output must not end in .smolmachine")
	}
	if want != platform {
		return fmt.Errorf("Error: platform %s", want)
	}
	if p.before != nil {
		if err := p.before(ctx, ref); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(progress, "\r\x1b[32mPulling\x1b[0m layer 1\rPulling layer 2\n")
	content, err := pull(ctx, ref)
	if err != nil {
		return err
	}
	if p.write != nil {
		return p.write(output, content)
	}
	return errors.Join(
		os.WriteFile(output, []byte("#!stub"), 0o777),
		os.WriteFile(output+".smolmachine", withFooter(content), 0o666),
	)
}

func (p *packer) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.packs
}

// pull reads manifest, config and layers, verifying each digest.
func pull(ctx context.Context, ref string) ([]byte, error) {
	digest, err := name.NewDigest(ref)
	if err != nil {
		return nil, err
	}
	image, err := remote.Image(digest, remote.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	flat := mutate.Extract(image)
	defer func() { _ = flat.Close() }()
	return io.ReadAll(flat)
}

// withFooter ends content like a pack: magic, version 1, the rest of 64 bytes.
func withFooter(content []byte) []byte {
	footer := make([]byte, 64)
	copy(footer, "SMOLPACK\x01")
	return append(bytes.Clone(content), footer...)
}

// journal is a sink that remembers.
type journal struct {
	mu     sync.Mutex
	events []event.Event
}

func (j *journal) Send(_ context.Context, e event.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

// take returns what was said since the last take, as "kind step: text".
func (j *journal) take(kinds ...event.Kind) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	said := []string{}
	for _, e := range j.events {
		for _, kind := range kinds {
			if e.Kind == kind {
				said = append(said, fmt.Sprintf("%s %s: %s", e.Kind, e.Step, e.Text))
			}
		}
	}
	j.events = nil
	return said
}

// bench is one cache directory with everything around it.
type bench struct {
	dir    string
	packer *packer
	said   *journal
	built  *counted
}

func newBench(t testing.TB) *bench {
	t.Helper()
	return &bench{dir: t.TempDir(), packer: &packer{}, said: &journal{}, built: &counted{}}
}

// store is a new one each time, as a new process would have it.
func (b *bench) store() *imagepack.Store {
	return imagepack.NewStore(imagepack.Config{CacheDir: b.dir, Packer: b.packer, Platform: platform, Events: b.said})
}

func (b *bench) ensure(t testing.TB, seed string) imagepack.Artifact {
	t.Helper()
	artifact, err := b.store().Ensure(t.Context(), b.built.image(seed))
	if err != nil {
		t.Fatal(err)
	}
	b.checkNoTemp(t)
	raw, err := os.ReadFile(artifact.Path)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != artifact.SHA256 || int64(len(raw)) != artifact.Size {
		t.Errorf("artifact %s is not what it says: %d bytes, sha256 %x", artifact.Path, len(raw), sum)
	}
	return artifact
}

// checkNoTemp fails for anything in the cache that is neither an artifact, a record, a
// lock, a recipe nor a blob.
func (b *bench) checkNoTemp(t testing.TB) {
	t.Helper()
	for _, pattern := range []string{"packs/tmp.*", "packs/*.smolmachine/*", "registry/upload-*", "registry/sha256/*-*", "recipes/*-*"} {
		found, err := filepath.Glob(filepath.Join(b.dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			t.Errorf("left behind: %v", found)
		}
	}
}

// setTimes puts the mtime back to what it was, as a careful forger would.
func setTimes(t *testing.T, path string, mtime time.Time) {
	t.Helper()
	if err := os.Chtimes(path, mtime, mtime); err != nil {
		t.Fatal(err)
	}
}

// withHints is an error as the command line shows it.
func withHints(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	var hinter interface{ HintLines() []string }
	if errors.As(err, &hinter) {
		text += "\nhint: " + strings.Join(hinter.HintLines(), "\nhint: ")
	}
	return text
}
