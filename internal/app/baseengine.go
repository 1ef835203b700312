package app

import (
	"context"
	"errors"
	"io"

	"github.com/moby/moby/client"

	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/imagebuild/mobyengine"
)

// baseEngine gives the image builder what it needs for `base = "docker:NAME"`. It
// connects when it is asked: most recipes never ask.
type baseEngine struct{ app *App }

var _ imagebuild.Engine = baseEngine{}

// ImageID implements [imagebuild.Engine].
func (b baseEngine) ImageID(ctx context.Context, name string) (string, error) {
	engine, err := b.app.engine(ctx)
	if err != nil {
		return "", err
	}
	defer engine.Close()
	return mobyengine.New(engine).ImageID(ctx, name)
}

// SaveImage implements [imagebuild.Engine].
func (b baseEngine) SaveImage(ctx context.Context, name string) (io.ReadCloser, error) {
	engine, err := b.app.engine(ctx)
	if err != nil {
		return nil, err
	}
	saved, err := mobyengine.New(engine).SaveImage(ctx, name)
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

// BuildImage implements [imagebuild.Engine].
func (b baseEngine) BuildImage(ctx context.Context, build imagebuild.EngineBuild) error {
	engine, err := b.app.engine(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	return mobyengine.New(engine).BuildImage(ctx, build)
}
