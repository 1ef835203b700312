package imagebuild

import (
	"context"
	"fmt"
	"strings"

	"bottle.internal/internal/lockfile"
)

// tarball is a tool's package with its version, from the recipe or else from the lock.
// A pin of another package pins nothing: the recipe has moved on.
func (b *Builder) tarball(tool Npm, platform Platform) (Tarball, bool) {
	ball, ok := tool.ByCPU[platform.Architecture]
	if !ok || ball.Version != "" {
		return ball, ok
	}
	pin, ok := b.config.Npm.Lock.Tool(tool.Tool, platform.String())
	if !ok || pin.Package != ball.Package {
		return Tarball{}, false
	}
	ball.Version, ball.Integrity = pin.Version, pin.Integrity
	return ball, true
}

// NewestPins asks the registry for the newest versions of a recipe's tools, for every
// platform. It downloads no tarball.
func (b *Builder) NewestPins(ctx context.Context, recipe *Recipe) ([]lockfile.Npm, error) {
	downloader, err := b.downloader(ctx)
	if err != nil {
		return nil, err
	}
	var pins []lockfile.Npm
	for _, tool := range recipe.Npm {
		for _, arch := range architectures() {
			ball, ok := tool.ByCPU[arch]
			if !ok || ball.Version != "" {
				continue
			}
			newest, err := downloader.Newest(ctx, ball.Package, ball.Suffix)
			if err != nil {
				return nil, fmt.Errorf("asking for the newest %s for linux/%s: %w", tool.Tool, arch, err)
			}
			pins = append(pins, lockfile.Npm{Tool: tool.Tool, Platform: "linux/" + arch, Package: ball.Package, Version: newest.Version, Integrity: newest.Integrity})
		}
	}
	return pins, nil
}

// Chosen says what a base is, apart from where it comes from.
type Chosen struct {
	From     string   // "debian bookworm", a reference without a digest, docker:NAME, ...
	Digest   string   // of the image; empty for Debian packages
	Packages []string // name=version, sorted
}

func (c choice) chosen() Chosen {
	switch c.Kind {
	case kindDebian:
		return Chosen{From: "debian " + c.Debian.Suite, Packages: c.Debian.Versions}
	case kindRegistry:
		return Chosen{From: strings.SplitN(c.Ref, "@", 2)[0], Digest: c.ID}
	case kindScratch:
		return Chosen{From: kindScratch}
	}
	return Chosen{From: c.Kind + ":" + c.Ref, Digest: c.ID}
}

// Chosen is the base of a planned image.
func (j *Job) Chosen() Chosen { return j.chosen.chosen() }

// Offer is a base that may be taken.
type Offer struct {
	Chosen

	Lockable bool // it means the same on another machine

	take func(context.Context) error
}

// Take pins the offered base in base.lock: the next build is made upon it.
func (o Offer) Take(ctx context.Context) error { return o.take(ctx) }

// Offer looks for the newest base of a recipe, and changes nothing.
func (b *Builder) Offer(ctx context.Context, recipe *Recipe, platform Platform) (Offer, error) {
	wanted, err := b.wish(recipe)
	if err != nil {
		return Offer{}, err
	}
	if wanted.kind != kindRegistry && wanted.kind != kindDebian { // it is what the recipe says
		chosen, err := b.choose(ctx, recipe, platform, false)
		return Offer{Chosen: chosen.chosen(), take: func(context.Context) error { return nil }}, err
	}
	newest, err := b.ask(ctx, recipe, wanted, platform)
	if err != nil {
		return Offer{}, fmt.Errorf("looking for the base of %s: %w", recipe.Name, err)
	}
	return Offer{Chosen: newest.chosen(), Lockable: true, take: func(ctx context.Context) error {
		unlock, err := b.lock(ctx, "base.lock")
		if err != nil {
			return err
		}
		defer unlock()
		return b.pin(lockEntry(recipe, wanted, platform), newest)
	}}, nil
}
