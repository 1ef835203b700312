package imagepack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/moby/client"

	"bottle.internal/internal/bytesize"
	"bottle.internal/internal/event"
	"bottle.internal/internal/printable"
)

// Engine is what is needed of a container engine; *client.Client has it.
type Engine interface {
	ImageInspect(ctx context.Context, image string, options ...client.ImageInspectOption) (client.ImageInspectResult, error)
	ImageLoad(ctx context.Context, archive io.Reader, options ...client.ImageLoadOption) (client.ImageLoadResult, error)
	ImageTag(ctx context.Context, options client.ImageTagOptions) (client.ImageTagResult, error)
}

var _ Engine = (*client.Client)(nil)

// Loaded is an image in an engine.
type Loaded struct {
	Ref    string // bottle-NAME:<first 12 hex digits of the image id>
	ID     string // what the engine calls it
	Config string // digest of the image's config, which names its layers: sha256:...
	Sent   int64  // bytes of archive sent; 0 when the engine had the image
	Cached bool
}

// EnsureLoaded sees to it that the engine has the image, under a tag of ours.
func (s *Store) EnsureLoaded(ctx context.Context, engine Engine, image Image) (Loaded, error) {
	loaded, err := s.ensureLoaded(ctx, engine, image)
	if err != nil {
		return Loaded{}, fmt.Errorf("loading image %s into the engine: %w", image.Name, explainNoSpace(err, s.config.CacheDir))
	}
	return loaded, nil
}

func (s *Store) ensureLoaded(ctx context.Context, engine Engine, image Image) (Loaded, error) {
	if err := image.validate(); err != nil {
		return Loaded{}, err
	}
	if err := s.paths.prepare(); err != nil {
		return Loaded{}, err
	}
	s.paths.sweep()
	if loaded, err := s.findKnown(ctx, engine, image); err == nil || !errors.Is(err, errMiss) {
		return loaded, err
	}
	held, err := s.acquire(ctx, image, "recipe-"+image.Key)
	if err != nil {
		return Loaded{}, err
	}
	defer held.release()
	if loaded, err := s.findKnown(ctx, engine, image); err == nil || !errors.Is(err, errMiss) {
		return loaded, err
	}
	built, known, err := s.build(ctx, image, held)
	if err != nil {
		return Loaded{}, err
	}
	want, err := wantedOf(image.Name, known)
	if err != nil {
		return Loaded{}, err
	}
	if loaded, err := s.find(ctx, engine, want); err == nil || !errors.Is(err, errMiss) {
		return loaded, err
	}
	return s.load(ctx, engine, want, built)
}

// wanted is how an image is known in an engine.
type wanted struct {
	name, digest, id string
	tag              name.Tag
	config           *v1.ConfigFile
}

func wantedOf(image string, known recipe) (wanted, error) {
	config, id, err := parseConfig(known.Config)
	if err != nil {
		return wanted{}, err
	}
	tag, err := imageTag(image, id.String())
	if err != nil {
		return wanted{}, err
	}
	return wanted{name: image, digest: known.Digest, id: id.String(), tag: tag, config: config}, nil
}

// is compares by id. An engine with the containerd image store has an id of its own
// making for a loaded archive; there, what would run decides.
func (w wanted) is(got client.ImageInspectResult) bool {
	if got.ID == w.id || got.ID == w.digest {
		return true
	}
	layers := make([]string, 0, len(w.config.RootFS.DiffIDs))
	for _, layer := range w.config.RootFS.DiffIDs {
		layers = append(layers, layer.String())
	}
	ours, theirs := w.config.Config, got.Config
	return theirs != nil && slices.Equal(layers, got.RootFS.Layers) &&
		w.config.OS == got.Os && w.config.Architecture == got.Architecture &&
		slices.Equal(ours.Entrypoint, theirs.Entrypoint) && slices.Equal(ours.Cmd, theirs.Cmd) &&
		slices.Equal(ours.Env, theirs.Env) && ours.User == theirs.User && ours.WorkingDir == theirs.WorkingDir
}

// findKnown asks the engine without building the image, when its id is on record.
func (s *Store) findKnown(ctx context.Context, engine Engine, image Image) (Loaded, error) {
	known, err := s.paths.readRecipe(image.Key)
	if err != nil {
		return Loaded{}, errMiss
	}
	want, err := wantedOf(image.Name, known)
	if err != nil {
		return Loaded{}, errMiss
	}
	return s.find(ctx, engine, want)
}

// find returns errMiss when the engine answers that it lacks the image.
func (s *Store) find(ctx context.Context, engine Engine, want wanted) (Loaded, error) {
	loaded := Loaded{Ref: want.tag.String(), Config: want.id, Cached: true}
	got, err := engine.ImageInspect(ctx, loaded.Ref)
	if err != nil && !errdefs.IsNotFound(err) {
		return Loaded{}, fmt.Errorf("asking the engine for %s: %w", loaded.Ref, err)
	}
	if err != nil || !want.is(got) {
		got, err = engine.ImageInspect(ctx, want.id)
		if errdefs.IsNotFound(err) {
			return Loaded{}, errMiss
		}
		if err != nil {
			return Loaded{}, fmt.Errorf("asking the engine for %s: %w", want.id, err)
		}
		if _, err := engine.ImageTag(ctx, client.ImageTagOptions{Source: want.id, Target: loaded.Ref}); err != nil {
			return Loaded{}, fmt.Errorf("tagging %s: %w", loaded.Ref, err)
		}
	}
	loaded.ID = got.ID
	s.send(ctx, event.Event{Kind: event.Skip, Step: "load", Text: want.name + ": the engine has " + loaded.Ref})
	return loaded, nil
}

func (s *Store) load(ctx context.Context, engine Engine, want wanted, built v1.Image) (Loaded, error) {
	size, err := tarball.CalculateSize(map[name.Reference]v1.Image{want.tag: built})
	if err != nil {
		return Loaded{}, fmt.Errorf("sizing the archive: %w", err)
	}
	s.send(ctx, event.Event{Kind: event.Start, Step: "load", Text: want.name})
	meter := s.meter(ctx, "load", size)
	read, write := io.Pipe()
	archived := make(chan error, 1)
	go func() {
		err := tarball.Write(want.tag, built, &ctxWriter{ctx: ctx, w: write, written: meter.add})
		_ = write.CloseWithError(err)
		archived <- err
	}()
	err = send(ctx, engine, read)
	// The engine may stop reading before the padding at the end; that is no failure.
	_ = read.Close()
	if archiveErr := <-archived; archiveErr != nil && !errors.Is(archiveErr, io.ErrClosedPipe) {
		err = archiveErr
	}
	if err != nil {
		return Loaded{}, err
	}
	got, err := engine.ImageInspect(ctx, want.tag.String())
	if err != nil {
		return Loaded{}, fmt.Errorf("asking the engine for what was loaded: %w", err)
	}
	if !want.is(got) {
		return Loaded{}, fmt.Errorf("the engine has image %s as %s, not the %s that it was sent", got.ID, want.tag, want.id)
	}
	s.send(ctx, event.Event{Kind: event.Done, Step: "load", Text: fmt.Sprintf("%s: %s sent", want.tag, bytesize.Of(size))})
	return Loaded{Ref: want.tag.String(), ID: got.ID, Config: want.id, Sent: size}, nil
}

func send(ctx context.Context, engine Engine, archive io.Reader) error {
	result, err := engine.ImageLoad(ctx, archive, client.ImageLoadWithQuiet(true))
	if err != nil {
		return fmt.Errorf("sending the archive: %w", err)
	}
	return errors.Join(loadResult(result), result.Close())
}

// loadResult reads what the engine reports. It answers 200 before it has looked at the
// archive, and failures come in the stream.
func loadResult(stream io.Reader) error {
	decoder := json.NewDecoder(stream)
	for {
		var message struct {
			Error  string `json:"error"`
			Detail *struct {
				Message string `json:"message"`
			} `json:"errorDetail"`
		}
		err := decoder.Decode(&message)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading the engine's answer: %w", err)
		case message.Detail != nil && message.Detail.Message != "":
			return loadFailure(message.Detail.Message)
		case message.Error != "":
			return loadFailure(message.Error)
		case message.Detail != nil:
			return loadFailure("an error without a message")
		}
	}
}

func loadFailure(text string) error {
	err := errors.New("the engine refused the archive: " + printable.SafeText(text))
	if isNoSpace(err) {
		return &NoSpaceError{Where: "the container engine", Hint: "docker system df", Err: err}
	}
	return err
}

func parseConfig(raw []byte) (*v1.ConfigFile, v1.Hash, error) {
	config, err := v1.ParseConfigFile(bytes.NewReader(raw))
	if err != nil {
		return nil, v1.Hash{}, fmt.Errorf("reading the image config: %w", err)
	}
	id, _, err := v1.SHA256(bytes.NewReader(raw))
	return config, id, err
}
