package mobyengine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/imagebuild/mobyengine"
)

type fake struct {
	mobyengine.Client
	answer string
	err    error
	got    client.ImageBuildOptions
}

func (f *fake) ImageInspect(context.Context, string, ...client.ImageInspectOption) (client.ImageInspectResult, error) {
	return client.ImageInspectResult{InspectResponse: image.InspectResponse{ID: f.answer}}, f.err
}

func (f *fake) ImageBuild(_ context.Context, _ io.Reader, options client.ImageBuildOptions) (client.ImageBuildResult, error) {
	f.got = options
	return client.ImageBuildResult{Body: io.NopCloser(strings.NewReader(f.answer))}, f.err
}

func TestImageID(t *testing.T) {
	t.Parallel()
	if id, err := mobyengine.New(&fake{answer: "sha256:1"}).ImageID(t.Context(), "x"); err != nil || id != "sha256:1" {
		t.Errorf("id %q, %v", id, err)
	}
	missing := &fake{err: fmt.Errorf("no x: %w", errdefs.ErrNotFound)}
	if _, err := mobyengine.New(missing).ImageID(t.Context(), "x"); !errors.Is(err, imagebuild.ErrNoImage) {
		t.Errorf("err = %v", err)
	}
	stopped := &fake{err: errors.New("cannot connect")}
	if _, err := mobyengine.New(stopped).ImageID(t.Context(), "x"); err == nil || errors.Is(err, imagebuild.ErrNoImage) {
		t.Errorf("err = %v", err)
	}
}

func TestBuildImage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, answer, lines, want string }{
		{"good", `{"stream":"Step 1/1\n"}` + "\n" + `{"stream":"\n"}{"aux":{"ID":"x"}}{"stream":"done"}`, "Step 1/1|done", "<nil>"},
		{"an error in the stream", `{"stream":"Step 1/1"}{"errorDetail":{"message":"boom"},"error":"boom"}`, "Step 1/1", "boom"},
		{"cut off", `{"stream":"Ste`, "", "reading the engine's answer: unexpected EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &fake{answer: test.answer}
			var lines []string
			err := mobyengine.New(f).BuildImage(t.Context(), imagebuild.EngineBuild{
				Context: strings.NewReader(""), Dockerfile: "Dockerfile", Name: "mine", Platform: "linux/arm64",
				Output: func(line string) { lines = append(lines, line) },
			})
			if fmt.Sprint(err) != test.want || strings.Join(lines, "|") != test.lines {
				t.Errorf("err = %v, lines %q", err, lines)
			}
			if !slices.Equal(f.got.Tags, []string{"mine"}) || f.got.Dockerfile != "Dockerfile" || len(f.got.Platforms) != 1 || f.got.Platforms[0].Architecture != "arm64" {
				t.Errorf("options %+v", f.got)
			}
		})
	}
}
