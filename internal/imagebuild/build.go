package imagebuild

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagebuild/layer"
	"bottle.internal/internal/imagebuild/npm"
)

// defaultPath is the PATH of an image whose base and recipe have none.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Build returns the image, with every layer in the cache.
func (j *Job) Build(ctx context.Context) (v1.Image, error) {
	image, err := j.build(ctx)
	if err != nil {
		return nil, fmt.Errorf("building the image %s for %s: %w", j.recipe.Name, j.selection.Platform.String(), err)
	}
	return image, nil
}

// build makes the base and the layers side by side. The accounts' layer is the only
// one that looks at the base, so the base is awaited by that one alone.
func (j *Job) build(ctx context.Context) (v1.Image, error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	below := sync.OnceValues(func() (*base, error) {
		return j.builder.materialise(ctx, baseJob{recipe: j.recipe, chosen: j.chosen, platform: j.selection.Platform})
	})
	group.Go(func() error {
		_, err := below()
		return err
	})
	layers := make([]*layer.Layer, len(j.layers))
	for i, plan := range j.layers {
		group.Go(func() (err error) {
			if found, ok := j.builder.store.Find(plan.key); ok {
				layers[i] = found
				return nil
			}
			var under *base
			if plan.onBase {
				if under, err = below(); err != nil {
					return err
				}
			}
			layers[i], err = plan.make(ctx, under)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	ready, err := below()
	if err != nil {
		return nil, err
	}
	return j.compose(ready, layers)
}

// compose puts the image together. Nothing of it depends on the time or the place.
func (j *Job) compose(below *base, layers []*layer.Layer) (v1.Image, error) {
	created := v1.Time{Time: layer.Epoch()}
	config := &v1.ConfigFile{
		OS: j.selection.Platform.OS, Architecture: j.selection.Platform.Architecture, Created: created,
		Config: v1.Config{Env: mergeEnv(below.record.Env, j.recipe.Env), Cmd: j.recipe.Cmd, WorkingDir: j.recipe.Workdir},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
	}
	image, err := mutate.ConfigFile(empty.Image, config)
	if err != nil {
		return nil, err
	}
	image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var adds []mutate.Addendum
	add := func(one *layer.Layer, name string) error {
		mediaType, err := one.MediaType()
		adds = append(adds, mutate.Addendum{Layer: one, MediaType: mediaType, History: v1.History{Created: created, CreatedBy: "bottle " + name}})
		return err
	}
	for i, one := range below.layers {
		if err := add(one, fmt.Sprintf("base %d", i+1)); err != nil {
			return nil, err
		}
	}
	for i, one := range layers {
		if err := add(one, j.layers[i].name); err != nil {
			return nil, err
		}
	}
	return mutate.Append(image, adds...)
}

// mergeEnv lets the recipe's variables replace the base's, and is sorted.
func mergeEnv(base, recipe []string) []string {
	byName := map[string]string{"PATH": defaultPath}
	for _, line := range slices.Concat(base, recipe) {
		name, _, _ := strings.Cut(line, "=")
		byName[name] = line
	}
	var env []string
	for _, line := range byName {
		env = append(env, line)
	}
	slices.Sort(env)
	return env
}

// planNpm plans a tool's layer, keyed by what the recipe pins: neither the tarball nor
// the registry is needed to know it.
func (j *Job) planNpm(tool Npm) layerPlan {
	ball, _ := j.builder.tarball(tool, j.selection.Platform) // checkSelection has found it
	unpack := npm.Unpack{Dir: "opt/" + tool.Tool, Files: ball.Files, Links: ball.Links}
	key := hashJSON("npm 1", layer.Format, ball.Integrity, unpack)
	fill := func(ctx context.Context, _ *base) (*layer.Layer, error) {
		tarball, err := j.builder.fetch(ctx, npm.Package{Name: ball.Package, Version: ball.Version, Integrity: ball.Integrity})
		if err != nil {
			return nil, err
		}
		return j.builder.store.FromTar(ctx, layer.Source{Key: key, Name: tool.Tool, Fill: func(_ context.Context, w io.Writer) error {
			return npm.WriteLayer(w, tarball, unpack)
		}})
	}
	return layerPlan{name: tool.Tool, key: key, make: fill}
}

func (b *Builder) fetch(ctx context.Context, pkg npm.Package) (string, error) {
	downloader, err := b.downloader(ctx)
	if err != nil {
		return "", err
	}
	return downloader.Fetch(ctx, pkg)
}

// downloader reads npm's settings only now: an image without tools needs no registry.
func (b *Builder) downloader(ctx context.Context) (*npm.Downloader, error) {
	settings, err := npm.Load(ctx, b.config.Npm.Host)
	if err != nil {
		return nil, err
	}
	for _, warning := range settings.Warnings {
		b.config.Events.Send(ctx, event.Event{Kind: event.Warn, Step: "download", Text: warning})
	}
	client := b.config.Npm.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	return &npm.Downloader{Dir: b.config.CacheDir, Settings: settings, HTTP: client, Events: b.config.Events, Pause: b.config.Npm.Wait}, nil
}
