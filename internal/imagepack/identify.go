package imagepack

import (
	"context"
	"fmt"
)

// Identity says which image a recipe is.
type Identity struct {
	Digest string // of the manifest
	Config string // of the config, by which an engine knows the image
}

// Identify says which image a recipe is, and builds it if that was never done. It needs
// neither a VM tool nor an engine.
func (s *Store) Identify(ctx context.Context, image Image) (Identity, error) {
	identity, err := s.identify(ctx, image)
	if err != nil {
		return Identity{}, fmt.Errorf("identifying image %s: %w", image.Name, explainNoSpace(err, s.config.CacheDir))
	}
	return identity, nil
}

func (s *Store) identify(ctx context.Context, image Image) (Identity, error) {
	if err := image.validate(); err != nil {
		return Identity{}, err
	}
	if err := s.paths.prepare(); err != nil {
		return Identity{}, err
	}
	known, err := s.paths.readRecipe(image.Key)
	if err != nil {
		held, err := s.acquire(ctx, image, "recipe-"+image.Key)
		if err != nil {
			return Identity{}, err
		}
		defer held.release()
		if _, known, err = s.build(ctx, image, held); err != nil {
			return Identity{}, err
		}
	}
	want, err := wantedOf(image.Name, known)
	return Identity{Digest: want.digest, Config: want.id}, err
}
