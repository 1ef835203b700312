package imagebuild

import (
	"context"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"bottle.internal/internal/event"
	"bottle.internal/internal/gobuild"
	"bottle.internal/internal/imagebuild/debian"
	"bottle.internal/internal/imagebuild/layer"
	"bottle.internal/internal/imagebuild/npm"
	"bottle.internal/internal/lockfile"
)

// Platform is linux/amd64 or linux/arm64.
type Platform = v1.Platform

// parallel bounds downloads and layers at work at a time: more only makes each slower.
const parallel = 4

// Config is what a Builder needs.
type Config struct {
	CacheDir string
	// Root is the directory on disk that the recipes' file system stands for; Dockerfile,
	// layout: and archive: paths start there. Empty for recipes inside our program.
	Root     string
	Programs *gobuild.Builder
	Base     BaseOptions
	Npm      NpmOptions
	Engine   Engine     // nil: docker: bases are refused
	Events   event.Sink // nil: dropped
}

// BaseOptions say how a base is chosen and made.
type BaseOptions struct {
	Choice    string            // $BOTTLE_BASE: empty, "debian", "registry", or a base as in a recipe
	Timeout   time.Duration     // to reach a registry, 0 means 2 s; it may take five times that to answer
	Transport http.RoundTripper // nil: ours
	Keychain  authn.Keychain    // nil: Docker's
	Debian    debian.Host       // Dir and Log are set by the builder
}

// NpmOptions say which tarballs are taken, and where they come from.
type NpmOptions struct {
	Lock lockfile.File // pins the tools that a recipe does not pin itself
	Host npm.Host
	HTTP *http.Client  // nil: http.DefaultClient
	Wait time.Duration // pause before a second try, 0 means 500 ms
}

// Builder plans and builds images. It is safe for concurrent use, also by several
// processes on one cache.
type Builder struct {
	config Config
	store  *layer.Store
}

// New returns a builder.
func New(config Config) *Builder {
	if config.Events == nil {
		config.Events = event.Discard()
	}
	return &Builder{config: config, store: &layer.Store{Dir: config.CacheDir, Events: config.Events}}
}

// Base chooses a recipe's base if it is not chosen yet, or anew on refresh, and makes
// it. It returns what the base is, for people.
func (b *Builder) Base(ctx context.Context, recipe *Recipe, platform Platform, refresh bool) (string, error) {
	chosen, err := b.choose(ctx, recipe, platform, refresh)
	if err != nil {
		return "", err
	}
	_, err = b.materialise(ctx, baseJob{recipe: recipe, chosen: chosen, platform: platform})
	return chosen.String(), err
}
