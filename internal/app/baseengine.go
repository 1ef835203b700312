package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"bottle.internal/internal/event"
	"bottle.internal/internal/imagebuild"
)

// baseEngine gives the image builder what it needs for `base = "docker:NAME"`. It
// connects when it is asked first: most recipes never ask.
type baseEngine struct{ app *App }

var _ imagebuild.Engine = baseEngine{}

// ImageID implements [imagebuild.Engine].
func (b baseEngine) ImageID(ctx context.Context, name string) (string, error) {
	engine, err := b.app.engine(ctx)
	if err != nil {
		return "", err
	}
	defer engine.Close()
	found, err := engine.ImageInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return "", fmt.Errorf("%w: %s", imagebuild.ErrNoImage, name)
	}
	return found.ID, err
}

// SaveImage implements [imagebuild.Engine].
func (b baseEngine) SaveImage(ctx context.Context, name string) (io.ReadCloser, error) {
	engine, err := b.app.engine(ctx)
	if err != nil {
		return nil, err
	}
	saved, err := engine.ImageSave(ctx, []string{name})
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return savedImage{saved, engine}, nil
}

// savedImage closes its engine with the stream.
type savedImage struct {
	io.ReadCloser
	engine *client.Client
}

// Close implements [io.Closer].
func (s savedImage) Close() error { return errors.Join(s.ReadCloser.Close(), s.engine.Close()) }

// BuildImage implements [imagebuild.Engine]. Errors come inside the builder's stream.
func (b baseEngine) BuildImage(ctx context.Context, build imagebuild.EngineBuild) error {
	engine, err := b.app.engine(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	result, err := engine.ImageBuild(ctx, build.Context, client.ImageBuildOptions{
		Tags: []string{build.Name}, Dockerfile: build.Dockerfile, Remove: true, ForceRemove: true,
	})
	if err != nil {
		return err
	}
	defer result.Body.Close()
	for decoder := json.NewDecoder(result.Body); ; {
		var message struct {
			Stream string `json:"stream"`
			Error  string `json:"error"`
		}
		switch err := decoder.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading what the builder says: %w", err)
		case message.Error != "":
			return errors.New(event.SafeText(message.Error))
		}
		if line := strings.TrimSpace(message.Stream); line != "" && build.Output != nil {
			build.Output(line)
		}
	}
}
