package imagebuild

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"bottle.internal/internal/diskcache"
	"bottle.internal/internal/event"
	"bottle.internal/internal/imagebuild/debian"
	"bottle.internal/internal/imagebuild/layer"
)

// base is a base in the cache.
type base struct {
	layers []*layer.Layer
	record baseRecord
}

// baseRecord is bases/KEY.json.
type baseRecord struct {
	Layers []string            `json:"layers"` // keys in the layer store, lowest first
	Env    []string            `json:"env"`
	Files  map[string]baseFile `json:"files"` // the account files, without a leading slash
}

type baseFile struct {
	Mode    int64  `json:"mode"`
	UID     int    `json:"uid"`
	GID     int    `json:"gid"`
	Content []byte `json:"content"`
}

// baseJob is one base to be had.
type baseJob struct {
	recipe   *Recipe
	chosen   choice
	platform Platform
}

// materialise returns the base from the cache, or makes it once.
func (b *Builder) materialise(ctx context.Context, job baseJob) (*base, error) {
	if job.chosen.Kind == kindScratch {
		return &base{}, nil
	}
	key := job.chosen.key(job.platform.String())
	if found, ok := b.findBase(key); ok {
		return found, nil
	}
	unlock, err := b.lock(ctx, "base-"+key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if found, ok := b.findBase(key); ok {
		return found, nil
	}
	b.say(ctx, event.Start, "making the base "+job.chosen.String())
	record, err := b.makeBase(ctx, job, key)
	if err != nil {
		return nil, fmt.Errorf("making the base %s: %w", job.chosen, err)
	}
	err = diskcache.WriteFile(b.basePath(key), func(w io.Writer) error { return json.NewEncoder(w).Encode(record) })
	if err != nil {
		return nil, err
	}
	b.say(ctx, event.Done, "the base "+job.chosen.String())
	made, ok := b.findBase(key)
	if !ok {
		return nil, fmt.Errorf("the base %s vanished from the cache", job.chosen)
	}
	return made, nil
}

func (b *Builder) basePath(key string) string {
	return filepath.Join(b.config.CacheDir, "bases", key+".json")
}

// findBase wants the record and every layer whole.
func (b *Builder) findBase(key string) (*base, bool) {
	text, err := os.ReadFile(b.basePath(key))
	if err != nil {
		return nil, false
	}
	found := &base{}
	if err := json.Unmarshal(text, &found.record); err != nil {
		return nil, false
	}
	for _, key := range found.record.Layers {
		one, ok := b.store.Find(key)
		if !ok {
			return nil, false
		}
		found.layers = append(found.layers, one)
	}
	return found, len(found.layers) > 0
}

func (b *Builder) makeBase(ctx context.Context, job baseJob, key string) (baseRecord, error) {
	switch job.chosen.Kind {
	case kindDebian:
		return b.makeDebian(ctx, job, key)
	case kindRegistry:
		image, err := b.pinnedImage(ctx, job.chosen, job.platform)
		if err != nil {
			return baseRecord{}, err
		}
		return b.takeImage(ctx, image, job.platform, true)
	case kindLayout, kindArchive:
		image, err := openFile(job.chosen.Kind, job.chosen.Ref, job.platform)
		if err != nil {
			return baseRecord{}, err
		}
		return b.takeImage(ctx, image, job.platform, job.chosen.Kind == kindLayout)
	default:
		archive, err := b.engineImage(ctx, job.recipe, job.chosen, job.platform)
		if err != nil {
			return baseRecord{}, err
		}
		defer func() { _ = os.Remove(archive) }()
		image, err := openFile(kindArchive, archive, job.platform)
		if err != nil {
			return baseRecord{}, err
		}
		return b.takeImage(ctx, image, job.platform, false)
	}
}

func (b *Builder) makeDebian(ctx context.Context, job baseJob, key string) (baseRecord, error) {
	source := layer.Source{Key: "debian-" + key, Name: "debian base", Fill: func(ctx context.Context, w io.Writer) error {
		host, unlock, err := b.debianHost(ctx, job.recipe.Debian, job.platform)
		if err != nil {
			return err
		}
		defer unlock()
		return host.Write(ctx, *job.chosen.Debian, w)
	}}
	made, err := b.store.FromTar(ctx, source)
	if err != nil {
		return baseRecord{}, err
	}
	record := baseRecord{Layers: []string{source.Key}}
	err = record.readAccounts(made)
	return record, err
}

// debianHost is this machine with a scratch directory, which is locked: apt's lists
// stay there between plan and build, and a refresh in between must not take them away.
func (b *Builder) debianHost(ctx context.Context, wanted *Debian, platform Platform) (*debian.Host, func(), error) {
	name := "debian-" + hashJSON(wanted, platform.String())[:16]
	unlock, err := b.lock(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	host := b.config.Base.Debian
	host.Dir = filepath.Join(b.config.CacheDir, name)
	host.Log = func(line string) { b.say(ctx, event.Progress, line) } // an error has the last of them
	return &host, unlock, nil
}

// takeImage copies an image's layers into the store. Layers of a registry or layout
// stay as they are compressed; the others come uncompressed and are compressed by us.
func (b *Builder) takeImage(ctx context.Context, image v1.Image, platform Platform, asTheyAre bool) (baseRecord, error) {
	if err := samePlatform(image, platform); err != nil {
		return baseRecord{}, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return baseRecord{}, err
	}
	theirs, err := image.Layers()
	if err != nil {
		return baseRecord{}, err
	}
	record := baseRecord{Layers: make([]string, len(theirs)), Env: config.Config.Env}
	ours := make([]*layer.Layer, len(theirs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, one := range theirs {
		group.Go(func() (err error) {
			record.Layers[i], ours[i], err = b.takeLayer(ctx, one, asTheyAre)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return baseRecord{}, err
	}
	for _, one := range ours {
		if err := record.readAccounts(one); err != nil {
			return baseRecord{}, err
		}
	}
	return record, nil
}

func (b *Builder) takeLayer(ctx context.Context, one v1.Layer, asItIs bool) (string, *layer.Layer, error) {
	diffID, err := one.DiffID()
	if err != nil {
		return "", nil, err
	}
	source := layer.Source{Name: "base " + diffID.Hex[:12]}
	if asItIs {
		digest, err := one.Digest()
		if err != nil {
			return "", nil, err
		}
		source.Key = "blob-" + digest.Hex
		source.Total, _ = one.Size()
		taken, err := b.store.FromLayer(ctx, source, one)
		return source.Key, taken, err
	}
	source.Key = "diff-" + diffID.Hex
	source.Fill = func(_ context.Context, w io.Writer) error {
		content, err := one.Uncompressed()
		if err != nil {
			return err
		}
		_, err = io.Copy(w, content)
		return errors.Join(err, content.Close())
	}
	taken, err := b.store.FromTar(ctx, source)
	return source.Key, taken, err
}

// readAccounts keeps the account files of a layer, over those of the layers below.
func (r *baseRecord) readAccounts(from *layer.Layer) error {
	content, err := from.Uncompressed()
	if err != nil {
		return err
	}
	if r.Files == nil {
		r.Files = map[string]baseFile{}
	}
	err = layer.Read(content, layer.Watch{Names: accountFiles(), Keep: func(header *tar.Header, content []byte) {
		r.Files[header.Name] = baseFile{Mode: header.Mode, UID: header.Uid, GID: header.Gid, Content: content}
	}})
	return errors.Join(err, content.Close())
}
