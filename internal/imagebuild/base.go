package imagebuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagebuild/debian"
)

// The kinds of base.
const (
	kindScratch    = "scratch"
	kindRegistry   = "registry"
	kindDebian     = "debian"
	kindDocker     = "docker"
	kindDockerfile = "dockerfile"
	kindLayout     = "layout"
	kindArchive    = "archive"
)

// choice is a base with everything settled that decides about its bytes.
type choice struct {
	Kind   string           `json:"kind"`
	Ref    string           `json:"ref,omitempty"`    // a reference, an image of the engine, or a path
	ID     string           `json:"id,omitempty"`     // digest of what Ref is
	Debian *debian.Resolved `json:"debian,omitempty"` // of kind debian
}

// key names the base's bytes for a platform.
func (c choice) key(platform string) string {
	id := c.ID
	if c.Debian != nil {
		id = c.Debian.Key()
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{"base 1", c.Kind, id, platform}, "\n")))
	return hex.EncodeToString(sum[:])
}

// String is the base for people.
func (c choice) String() string {
	switch c.Kind {
	case kindScratch:
		return kindScratch
	case kindDebian:
		return fmt.Sprintf("debian %s, %d packages, %.12s", c.Debian.Suite, len(c.Debian.Versions), c.Debian.Key())
	case kindRegistry:
		return fmt.Sprintf("%s@%s", strings.SplitN(c.Ref, "@", 2)[0], c.ID)
	default:
		return fmt.Sprintf("%s:%s %s", c.Kind, c.Ref, c.ID)
	}
}

// split takes "docker:NAME" and the like apart; anything else is a registry reference.
func split(base string) (kind, rest string) {
	if base == kindScratch || base == kindDebian {
		return base, ""
	}
	for _, kind := range []string{kindDocker, kindLayout, kindArchive} {
		if rest, ok := strings.CutPrefix(base, kind+":"); ok {
			return kind, rest
		}
	}
	return kindRegistry, base
}

// checkBase refuses what cannot be a base.
func checkBase(base string) error {
	kind, rest := split(base)
	if kind == kindRegistry {
		if _, err := name.ParseReference(rest); err != nil {
			return fmt.Errorf(`%q is neither "scratch", "debian", docker:NAME, layout:PATH, archive:PATH nor a registry reference`, base)
		}
		return nil
	}
	if rest == "" && kind != kindScratch && kind != kindDebian {
		return fmt.Errorf("%q names nothing after the colon", base)
	}
	return nil
}

// wish is a recipe's base after the user's word, with what may stand in for it.
type wish struct {
	kind, rest string
	fallback   bool // Debian packages will do if the registry does not answer
}

// wish applies BOTTLE_BASE. It replaces a base that is there to be built upon, never
// one that the recipe needs to be what it is (scratch, an image of the engine, a file).
func (b *Builder) wish(recipe *Recipe) (wish, error) {
	kind, rest := split(recipe.Base)
	wanted := wish{kind: kind, rest: rest, fallback: kind == kindRegistry && recipe.Debian != nil}
	say := b.config.Base.Choice
	if say == "" || (kind != kindRegistry && kind != kindDebian) {
		return wanted, nil
	}
	switch {
	case say == kindRegistry && kind == kindRegistry:
		wanted.fallback = false
	case say == kindRegistry:
		return wish{}, errors.New("BOTTLE_BASE=registry: the recipe names no registry reference")
	case say == kindDebian && recipe.Debian == nil:
		return wish{}, errors.New("BOTTLE_BASE=debian: the recipe has no [debian] section")
	case say == kindDebian:
		wanted = wish{kind: kindDebian}
	default:
		if err := checkBase(say); err != nil {
			return wish{}, fmt.Errorf("BOTTLE_BASE: %w", err)
		}
		wanted.kind, wanted.rest = split(say)
		wanted.fallback = false
	}
	return wanted, nil
}

// choose settles the base. What depends on other machines is looked up in base.lock
// first, unless refresh asks for a new choice.
func (b *Builder) choose(ctx context.Context, recipe *Recipe, platform Platform, refresh bool) (choice, error) {
	wanted, err := b.wish(recipe)
	if err != nil {
		return choice{}, err
	}
	switch wanted.kind {
	case kindScratch:
		return choice{Kind: kindScratch}, nil
	case kindDocker:
		return b.chooseDocker(ctx, recipe, wanted.rest)
	case kindLayout, kindArchive:
		return b.chooseFile(recipe, wanted, platform)
	}
	entry := lockEntry(recipe, wanted, platform)
	if !refresh {
		if pinned, ok, err := b.pinned(entry); err != nil || ok {
			return pinned, err
		}
	}
	unlock, err := b.lock(ctx, "base.lock")
	if err != nil {
		return choice{}, err
	}
	defer unlock()
	if !refresh {
		if pinned, ok, err := b.pinned(entry); err != nil || ok {
			return pinned, err
		}
	}
	chosen, err := b.ask(ctx, recipe, wanted, platform)
	if err != nil {
		return choice{}, fmt.Errorf("choosing the base of %s: %w", recipe.Name, err)
	}
	b.say(ctx, event.Info, "base: "+chosen.String())
	return chosen, b.pin(entry, chosen)
}

// named says who chose a base that cannot be had, if it was the person at the keyboard.
func (b *Builder) named() string {
	if b.config.Base.Choice == "" {
		return ""
	}
	return "\nBOTTLE_BASE names it: correct that, or: unset BOTTLE_BASE"
}

// ask asks the registry, then the Debian mirror.
func (b *Builder) ask(ctx context.Context, recipe *Recipe, wanted wish, platform Platform) (choice, error) {
	var registryErr error
	if wanted.kind == kindRegistry {
		b.say(ctx, event.Start, "asking for "+wanted.rest)
		digest, err := b.askRegistry(ctx, wanted.rest, platform)
		if err == nil {
			return choice{Kind: kindRegistry, Ref: wanted.rest, ID: digest}, nil
		}
		if !wanted.fallback || ctx.Err() != nil {
			return choice{}, fmt.Errorf("asking for %s: %w%s", wanted.rest, err, b.named())
		}
		registryErr = fmt.Errorf("asking for %s: %w", wanted.rest, err)
		b.say(ctx, event.Info, "the registry of "+wanted.rest+" does not answer; taking Debian packages")
	}
	host, unlock, err := b.debianHost(ctx, recipe.Debian, platform)
	if err != nil {
		return choice{}, err
	}
	defer unlock()
	resolved, err := host.Resolve(ctx, debian.Request{
		Suite: recipe.Debian.Suite, Packages: recipe.Debian.Packages, Arch: platform.Architecture,
	})
	if err != nil {
		return choice{}, errors.Join(registryErr, err)
	}
	return choice{Kind: kindDebian, Debian: &resolved}, nil
}

// lockEntry is the name of a choice in base.lock: what was asked for.
func lockEntry(recipe *Recipe, wanted wish, platform Platform) string {
	parts := []string{platform.String()}
	if wanted.kind == kindRegistry {
		parts = append(parts, wanted.rest)
	}
	if wanted.kind == kindDebian || wanted.fallback {
		packages := slices.Sorted(slices.Values(recipe.Debian.Packages))
		parts = append(parts, "debian "+recipe.Debian.Suite+" "+strings.Join(packages, ","))
	}
	return strings.Join(parts, " | ")
}

func (b *Builder) say(ctx context.Context, kind event.Kind, text string) {
	b.config.Events.Send(ctx, event.Event{Kind: kind, Step: "base", Text: text})
}
