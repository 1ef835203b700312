// Package imagepack turns images into what a VM tool boots and what a container
// engine runs, and does each of it once.
//
// [Store.Ensure] keeps artifacts in a content-addressed cache. Its invariants:
//
//   - The name of an artifact is the hash of everything that shaped it.
//   - Nothing is used that this package did not write, verify and record: an artifact
//     whose file changed since is read again as a whole, and a damaged or foreign one
//     is rebuilt with a warning.
//   - One process packs an image, the others wait for it. A process that dies leaves
//     only temporary files, and the next run removes them.
//   - An unchanged recipe costs two small files and one stat; its image is not built.
//
// [Store.EnsureLoaded] sends an image to a container engine that lacks it.
package imagepack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"bottle.internal/internal/event"
	"bottle.internal/internal/names"
)

// Image is something that can be built, known by the hash of its recipe.
type Image struct {
	Name  string // of the recipe: "agent", "bundle"
	Key   string // recipe key: 64 hex digits; the same key always builds the same image
	Parts []Part // what the recipe key was made of, for Explain only
	Build func(context.Context) (v1.Image, error)
}

// Part is one named thing that a key was made of.
type Part struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Packer is the VM tool.
type Packer interface {
	// Tool names the program and its version. It is asked for at every Ensure.
	Tool() (name, version string)
	// PackCreate pulls ref and writes output and output+".smolmachine", by the tool's
	// own convention. The directory of output is private to this call, on the cache's
	// disk and removed afterwards: a good place for the tool's own staging. An error
	// that is [ErrRegistryRefused] asks for the archive instead.
	PackCreate(ctx context.Context, ref, output, platform string, progress io.Writer) error
}

// Config says how to make a Store.
type Config struct {
	CacheDir string // created when missing; packs/, recipes/ and registry/ in it are ours
	Packer   Packer // may be nil when only EnsureLoaded is used
	Platform string // "linux/amd64"
	Options  []Part // settings of the packer that shape the artifact; part of the key
	Events   event.Sink
	Now      func() time.Time // for the records; nil means time.Now
}

// Store is the cache of artifacts. It is safe for concurrent use, by processes too.
type Store struct {
	config Config
	paths  paths
}

// NewStore returns a store. Nothing is created before it is needed.
func NewStore(config Config) *Store {
	if config.Events == nil {
		config.Events = event.Discard()
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Store{config: config, paths: newPaths(config.CacheDir)}
}

// The two ways in which an artifact carries its image.
const (
	ViaPack    = "pack"    // a .smolmachine, for `machine create --from`
	ViaArchive = "archive" // a docker-save archive, for `machine create --image`
)

// Artifact is a file that a machine can be created from.
type Artifact struct {
	Path        string
	SHA256      string // of the file, hex
	Size        int64
	ImageDigest string // sha256:...
	Via         string // ViaPack or ViaArchive
	Key         string
	Cached      bool  // it was there already
	Pushed      int64 // bytes of layers and config that the registry did not have
	Explain     Explanation
}

var hex64 = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (i Image) validate() error {
	if err := names.Validate(i.Name); err != nil {
		return fmt.Errorf("image: %w", err)
	}
	if !hex64.MatchString(i.Key) {
		return fmt.Errorf("recipe key %q is not a sha256 in hex", i.Key)
	}
	return nil
}

// Ensure returns the artifact of an image, and makes it when there is none.
func (s *Store) Ensure(ctx context.Context, image Image) (Artifact, error) {
	artifact, err := s.ensure(ctx, image)
	if err != nil {
		return Artifact{}, fmt.Errorf("packing image %s: %w", image.Name, explainNoSpace(err, s.config.CacheDir))
	}
	return artifact, nil
}

func (s *Store) ensure(ctx context.Context, image Image) (Artifact, error) {
	if err := image.validate(); err != nil {
		return Artifact{}, err
	}
	if s.config.Packer == nil {
		return Artifact{}, errors.New("there is no VM tool to pack with")
	}
	if err := s.paths.prepare(); err != nil {
		return Artifact{}, err
	}
	s.paths.sweep()
	if artifact, ok := s.lookup(image); ok {
		s.skip(ctx, artifact, "nothing changed")
		return artifact, nil
	}
	recipeLock, err := s.acquire(ctx, image, "recipe-"+image.Key)
	if err != nil {
		return Artifact{}, err
	}
	defer recipeLock.release()
	if artifact, ok := s.lookup(image); ok {
		s.skip(ctx, artifact, "somebody else has just packed it")
		return artifact, nil
	}
	if known, err := s.paths.readRecipe(image.Key); err == nil {
		artifact, err := s.reuse(ctx, s.target(image, known.Digest))
		if err == nil || !errors.Is(err, errMiss) {
			return artifact, err
		}
	}
	built, known, err := s.build(ctx, image, recipeLock)
	if err != nil {
		return Artifact{}, err
	}
	return s.pack(ctx, s.target(image, known.Digest), built)
}

// lookup answers from the records alone: it takes no lock and reads no artifact.
func (s *Store) lookup(image Image) (Artifact, bool) {
	known, err := s.paths.readRecipe(image.Key)
	if err != nil {
		return Artifact{}, false
	}
	want := s.target(image, known.Digest)
	rec, err := s.paths.readRecord(want.key)
	if err != nil {
		return Artifact{}, false
	}
	now, err := stampOf(s.paths.artifact(rec))
	if err != nil || now != rec.Stamp {
		return Artifact{}, false
	}
	return s.artifact(want, rec, true), true
}

// reuse takes the pack's lock and the artifact, if that can be trusted, or errMiss.
func (s *Store) reuse(ctx context.Context, want target) (Artifact, error) {
	packLock, err := s.acquire(ctx, want.image, "pack-"+want.key)
	if err != nil {
		return Artifact{}, err
	}
	defer packLock.release()
	rec, err := s.current(ctx, want, packLock)
	if err != nil {
		return Artifact{}, err
	}
	artifact := s.artifact(want, rec, true)
	s.skip(ctx, artifact, "nothing changed")
	return artifact, nil
}

func (s *Store) artifact(want target, rec record, cached bool) Artifact {
	explained := want.explanation()
	explained.Against = rec.Key
	return Artifact{
		Path: s.paths.artifact(rec), SHA256: rec.SHA256, Size: rec.Size, ImageDigest: rec.Image,
		Via: rec.Via, Key: rec.Key, Cached: cached, Explain: explained,
	}
}

// build makes the image and writes down which digest the recipe key stands for.
func (s *Store) build(ctx context.Context, image Image, held *lock) (v1.Image, recipe, error) {
	built, err := image.Build(ctx)
	if err != nil {
		return nil, recipe{}, fmt.Errorf("building: %w", err)
	}
	if err := s.checkPlatform(built); err != nil {
		return nil, recipe{}, err
	}
	digest, err := built.Digest()
	if err != nil {
		return nil, recipe{}, fmt.Errorf("computing the image digest: %w", err)
	}
	raw, err := built.RawConfigFile()
	if err != nil {
		return nil, recipe{}, fmt.Errorf("reading the image config: %w", err)
	}
	known := recipe{Format: formatVersion, Recipe: image.Key, Name: image.Name, Digest: digest.String(), Config: raw}
	if err := held.writeJSON(s.paths.recipe(image.Key), known); err != nil {
		return nil, recipe{}, fmt.Errorf("recording the recipe: %w", err)
	}
	return built, known, nil
}

// checkPlatform exists because a wrong one would only be noticed when a VM fails to boot.
func (s *Store) checkPlatform(built v1.Image) error {
	config, err := built.ConfigFile()
	if err != nil {
		return fmt.Errorf("reading the image config: %w", err)
	}
	if got := config.OS + "/" + config.Architecture; got != s.config.Platform {
		return fmt.Errorf("the image is for %s, not for %s", got, s.config.Platform)
	}
	return nil
}

func (s *Store) skip(ctx context.Context, a Artifact, why string) {
	s.send(ctx, event.Event{Kind: event.Skip, Step: "pack", Text: fmt.Sprintf("%s: %s (%.12s)", a.Explain.Name, why, a.Key)})
}

func (s *Store) send(ctx context.Context, e event.Event) { s.config.Events.Send(ctx, e) }
