package app

import (
	"context"
	"os"
	"path/filepath"

	"bottle.internal/images"
	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/imagebuild/debian"
	"bottle.internal/internal/imagebuild/npm"
	"bottle.internal/internal/lockfile"
)

// builder makes images from the recipes. In a checkout its own recipes are read from
// disk, so that an edit needs no new bottle.
func (a *App) builder(lock lockfile.File) *imagebuild.Builder {
	config := imagebuild.Config{
		CacheDir: a.dirs.cache, Programs: a.programs(), Engine: baseEngine{a}, Events: a.events,
		Base: imagebuild.BaseOptions{
			Choice: a.config.getenv("BOTTLE_BASE"),
			Debian: debian.Host{
				Root: os.DirFS("/"), Env: a.config.Environ, OS: a.config.OS, Arch: a.config.Arch,
				UID: a.config.UID, User: a.config.getenv("USER"),
			},
		},
		Npm: imagebuild.NpmOptions{
			Lock: lock,
			Host: npm.Host{Env: a.config.Environ, Dir: a.config.Dir, Home: a.dirs.home},
		},
	}
	if a.source != "" {
		config.Root = filepath.Join(a.source, "images")
	}
	return imagebuild.New(config)
}

func (a *App) recipe(name string) (*imagebuild.Recipe, error) {
	if a.source != "" {
		return imagebuild.LoadRecipe(os.DirFS(filepath.Join(a.source, "images")), name)
	}
	return imagebuild.LoadRecipe(images.Recipes(), name)
}

// Base chooses the base of the agent image again and returns what it is.
func (a *App) Base(ctx context.Context) (string, error) {
	recipe, err := a.recipe(agentRecipe)
	if err != nil {
		return "", err
	}
	return a.builder(lockfile.File{}).Base(ctx, recipe, guestPlatform(), true)
}
