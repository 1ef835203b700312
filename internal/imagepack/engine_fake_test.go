package imagepack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/moby/client"
)

// engine is a container engine in memory that keeps to the protocol: an image is
// loaded only after the engine has said that it lacks it, and tagged only by an id that
// it has. It reads an archive as the real one does: whole, and each digest checked.
type engine struct {
	t          *testing.T
	containerd bool                  // ids are the engine's own, as with the containerd store
	answer     string                // of a load; "" is the usual one
	load       func(io.Reader) error // instead of reading the archive
	foreign    string                // content of an image that it stores instead of the archive's

	mu     sync.Mutex
	images map[string]client.ImageInspectResult // by id and by tag
	lacked bool
	calls  []string
}

func (e *engine) said(call string) { e.calls = append(e.calls, call) }

func (e *engine) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	calls := e.calls
	e.calls = nil
	return calls
}

func (e *engine) ImageInspect(_ context.Context, image string, _ ...client.ImageInspectOption) (client.ImageInspectResult, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said("inspect " + image)
	found, ok := e.images[image]
	if !ok {
		e.lacked = true
		return client.ImageInspectResult{}, fmt.Errorf("No such image: %s: %w", image, errdefs.ErrNotFound)
	}
	return found, nil
}

func (e *engine) ImageTag(_ context.Context, o client.ImageTagOptions) (client.ImageTagResult, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said("tag " + o.Source + " " + o.Target)
	found, ok := e.images[o.Source]
	if !ok {
		e.t.Errorf("tagging %s, which the engine does not have", o.Source)
	}
	e.images[o.Target] = found
	return client.ImageTagResult{}, nil
}

func (e *engine) ImageLoad(_ context.Context, archive io.Reader, _ ...client.ImageLoadOption) (client.ImageLoadResult, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said("load")
	if !e.lacked {
		e.t.Error("loading an image that the engine was not found to lack")
	}
	e.lacked = false
	if e.load != nil {
		if err := e.load(archive); err != nil {
			return nil, err
		}
	} else if err := e.receive(archive); err != nil {
		e.t.Errorf("the archive is no good: %v", err)
	}
	answer := e.answer
	if answer == "" {
		answer = "{\"stream\":\"Loaded image: x\\n\"}\r\n"
	}
	return io.NopCloser(strings.NewReader(answer)), nil
}

func (e *engine) receive(archive io.Reader) error {
	raw, err := io.ReadAll(archive)
	if err != nil {
		return err
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }
	manifest, err := tarball.LoadManifest(opener)
	if err != nil {
		return err
	}
	if len(manifest) != 1 || len(manifest[0].RepoTags) != 1 {
		return fmt.Errorf("manifest %+v", manifest)
	}
	tag, err := name.NewTag(manifest[0].RepoTags[0])
	if err != nil {
		return err
	}
	image, err := tarball.Image(opener, &tag)
	if err != nil {
		return err
	}
	if e.foreign != "" {
		if image, err = newImage(e.foreign); err != nil {
			return err
		}
	}
	return e.store(image, manifest[0].RepoTags[0])
}

func (e *engine) store(image v1.Image, tag string) error {
	config, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	id, err := image.ConfigName()
	if err != nil {
		return err
	}
	if e.containerd {
		id.Hex = strings.Repeat("c", 64)
	}
	var parsed map[string]any
	if err := json.Unmarshal(config, &parsed); err != nil {
		return err
	}
	layers := parsed["rootfs"].(map[string]any)["diff_ids"]
	raw, err := json.Marshal(map[string]any{
		"Id": id.String(), "Os": parsed["os"], "Architecture": parsed["architecture"],
		"Config": parsed["config"], "RootFS": map[string]any{"Layers": layers},
	})
	if err != nil {
		return err
	}
	var inspect client.ImageInspectResult
	if err := json.Unmarshal(raw, &inspect); err != nil {
		return err
	}
	if e.images == nil {
		e.images = map[string]client.ImageInspectResult{}
	}
	e.images[id.String()], e.images[tag] = inspect, inspect
	return nil
}

// down is an engine that nobody started.
type down struct{ *engine }
