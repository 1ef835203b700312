package imagebuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagebuild/layer"
)

// Engine is what a docker: base needs of a container engine.
type Engine interface {
	// ImageID returns the id of a local image, ErrNoImage if there is none.
	ImageID(ctx context.Context, name string) (string, error)
	// SaveImage streams a local image as `docker save` does.
	SaveImage(ctx context.Context, name string) (io.ReadCloser, error)
	// BuildImage builds an image from a build context and names it.
	BuildImage(ctx context.Context, build EngineBuild) error
}

// EngineBuild is one build in the engine.
type EngineBuild struct {
	Context    io.Reader // a tar
	Dockerfile string    // its name in the context
	Name       string    // the name that the image gets
	Platform   string
	Output     func(line string) // what the builder says
}

// ErrNoImage is returned by Engine.ImageID.
var ErrNoImage = errors.New("the engine has no such image")

// contextLimit bounds a build context: it is hashed on every plan.
const contextLimit = 256 << 20

// chooseDocker names the engine's image by its id, or by what would be built.
func (b *Builder) chooseDocker(ctx context.Context, recipe *Recipe, image string) (choice, error) {
	if b.config.Engine == nil {
		return choice{}, fmt.Errorf("base docker:%s needs a container engine\nstart Docker, or choose another base with BOTTLE_BASE", image)
	}
	if recipe.Dockerfile == "" || b.config.Base.Choice != "" {
		id, err := b.config.Engine.ImageID(ctx, image)
		if errors.Is(err, ErrNoImage) {
			return choice{}, fmt.Errorf("base docker:%s: %w\ndocker build -t %s DIR makes it", image, err, image)
		}
		if err != nil {
			return choice{}, fmt.Errorf("looking for the base docker:%s: %w", image, err)
		}
		return choice{Kind: kindDocker, Ref: image, ID: id}, nil
	}
	file, err := b.onDisk(recipe, recipe.Dockerfile)
	if err != nil {
		return choice{}, err
	}
	hash := sha256.New()
	if err := writeContext(hash, filepath.Dir(file)); err != nil {
		return choice{}, fmt.Errorf("reading the build context of %s: %w", file, err)
	}
	fmt.Fprintf(hash, "%s\n%s", filepath.Base(file), image)
	return choice{Kind: kindDockerfile, Ref: image, ID: "sha256:" + hex.EncodeToString(hash.Sum(nil))}, nil
}

// onDisk is a path of the recipe's on the disk; a recipe inside our program has none.
func (b *Builder) onDisk(recipe *Recipe, name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	if b.config.Root == "" {
		return "", fmt.Errorf("the recipe %s is not on disk, so the relative path %q leads nowhere", recipe.Name, name)
	}
	return filepath.Join(b.config.Root, recipe.dir, name), nil
}

// writeContext writes the directory of a Dockerfile as a tar that depends on names,
// content and the owner's execute bit only.
func writeContext(w io.Writer, dir string) error {
	var entries []layer.Entry
	var size int64
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, found fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := found.Info()
		if err != nil {
			return err
		}
		if size += info.Size(); size > contextLimit {
			return fmt.Errorf("the directory holds more than %d MiB: put the Dockerfile into a directory of its own", contextLimit>>20)
		}
		switch {
		case info.IsDir():
			entries = append(entries, layer.Dir(name, 0o755))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			entries = append(entries, layer.Symlink(name, target))
		case info.Mode().IsRegular():
			entry := layer.File(name, 0o644|int64(info.Mode().Perm()&0o100)*0o111/0o100, nil)
			entry.Size = info.Size()
			entry.Open = func() (io.ReadCloser, error) { return root.Open(name) }
			entries = append(entries, entry)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return layer.Write(w, entries)
}

// engineImage exports the engine's image, building it first where the recipe says so.
// The caller removes the archive.
func (b *Builder) engineImage(ctx context.Context, recipe *Recipe, chosen choice, platform Platform) (archive string, err error) {
	if chosen.Kind == kindDockerfile {
		if err := b.buildInEngine(ctx, recipe, chosen, platform); err != nil {
			return "", err
		}
	}
	stream, err := b.config.Engine.SaveImage(ctx, chosen.Ref)
	if err != nil {
		return "", fmt.Errorf("exporting docker:%s: %w", chosen.Ref, err)
	}
	defer func() { _ = stream.Close() }()
	if err := os.MkdirAll(b.config.CacheDir, 0o755); err != nil {
		return "", err
	}
	file, err := os.CreateTemp(b.config.CacheDir, "engine.tmp-*")
	if err != nil {
		return "", err
	}
	if _, err = io.Copy(file, stream); err == nil {
		err = file.Close()
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("exporting docker:%s: %w", chosen.Ref, err), os.Remove(file.Name()))
	}
	return file.Name(), nil
}

func (b *Builder) buildInEngine(ctx context.Context, recipe *Recipe, chosen choice, platform Platform) error {
	file, err := b.onDisk(recipe, recipe.Dockerfile)
	if err != nil {
		return err
	}
	read, write := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		write.CloseWithError(writeContext(write, filepath.Dir(file)))
	}()
	err = b.config.Engine.BuildImage(ctx, EngineBuild{
		Context: read, Dockerfile: filepath.Base(file), Name: chosen.Ref, Platform: platform.String(),
		Output: func(line string) { b.say(ctx, event.Info, line) },
	})
	_ = read.Close()
	<-done
	if err != nil {
		return fmt.Errorf("building %s in the engine: %w", file, err)
	}
	return nil
}

// chooseFile names an image in a file by the digest of its manifest or config; neither
// needs the layers to be read.
func (b *Builder) chooseFile(recipe *Recipe, wanted wish, platform Platform) (choice, error) {
	file, err := b.onDisk(recipe, wanted.rest)
	if err != nil {
		return choice{}, err
	}
	image, err := openFile(wanted.kind, file, platform)
	if err != nil {
		return choice{}, fmt.Errorf("reading the base %s:%s: %w", wanted.kind, file, err)
	}
	id, err := image.ConfigName()
	if err != nil {
		return choice{}, fmt.Errorf("reading the base %s:%s: %w", wanted.kind, file, err)
	}
	return choice{Kind: wanted.kind, Ref: file, ID: id.String()}, nil
}

func openFile(kind, file string, platform Platform) (v1.Image, error) {
	if kind == kindArchive {
		return tarball.ImageFromPath(file, nil)
	}
	index, err := layout.ImageIndexFromPath(file)
	if err != nil {
		return nil, err
	}
	return fromIndex(index, platform)
}

// fromIndex finds the platform's image. A single image without a platform is taken;
// samePlatform checks it afterwards.
func fromIndex(index v1.ImageIndex, platform Platform) (v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, entry := range manifest.Manifests {
		switch {
		case entry.MediaType.IsIndex():
			inner, err := index.ImageIndex(entry.Digest)
			if err != nil {
				return nil, err
			}
			if image, err := fromIndex(inner, platform); err == nil {
				return image, nil
			}
		case entry.MediaType.IsImage() && (entry.Platform == nil || entry.Platform.Satisfies(platform)):
			return index.Image(entry.Digest)
		}
	}
	return nil, fmt.Errorf("there is no image for %s in it", path.Join(platform.OS, platform.Architecture))
}
