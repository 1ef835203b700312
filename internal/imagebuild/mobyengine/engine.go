// Package mobyengine lets imagebuild take a base from a container engine.
//
// Errors that the engine sends inside a stream of progress are errors.
package mobyengine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"bottle.internal/internal/imagebuild"
)

// Client is the part of moby's client that is needed.
type Client interface {
	ImageInspect(ctx context.Context, image string, options ...client.ImageInspectOption) (client.ImageInspectResult, error)
	ImageSave(ctx context.Context, images []string, options ...client.ImageSaveOption) (client.ImageSaveResult, error)
	ImageBuild(ctx context.Context, context io.Reader, options client.ImageBuildOptions) (client.ImageBuildResult, error)
}

// Engine implements [imagebuild.Engine].
type Engine struct{ client Client }

var _ imagebuild.Engine = (*Engine)(nil)

// New wraps a client, which stays the caller's to close.
func New(client Client) *Engine { return &Engine{client: client} }

// ImageID implements [imagebuild.Engine].
func (e *Engine) ImageID(ctx context.Context, name string) (string, error) {
	found, err := e.client.ImageInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return "", imagebuild.ErrNoImage
	}
	return found.ID, err
}

// SaveImage implements [imagebuild.Engine].
func (e *Engine) SaveImage(ctx context.Context, name string) (io.ReadCloser, error) {
	return e.client.ImageSave(ctx, []string{name})
}

// BuildImage implements [imagebuild.Engine].
func (e *Engine) BuildImage(ctx context.Context, build imagebuild.EngineBuild) error {
	platform, err := v1.ParsePlatform(build.Platform)
	if err != nil {
		return err
	}
	result, err := e.client.ImageBuild(ctx, build.Context, client.ImageBuildOptions{
		Tags: []string{build.Name}, Dockerfile: build.Dockerfile, Remove: true, ForceRemove: true,
		Platforms: []ocispec.Platform{{OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant}},
	})
	if err != nil {
		return err
	}
	return errors.Join(follow(result.Body, build.Output), result.Body.Close())
}

// follow reads the builder's messages to their end.
func follow(stream io.Reader, output func(string)) error {
	decoder := json.NewDecoder(stream)
	for {
		var message struct {
			Stream string `json:"stream"`
			Error  string `json:"error"`
		}
		err := decoder.Decode(&message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the engine's answer: %w", err)
		}
		if message.Error != "" {
			return errors.New(message.Error)
		}
		if line := strings.TrimSpace(message.Stream); line != "" {
			output(line)
		}
	}
}
