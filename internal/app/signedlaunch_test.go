package app

import (
	"strings"
	"testing"

	"bottle.internal/internal/plan"
	"bottle.internal/internal/sidecar"
	"bottle.internal/tests/fakeengine"
)

// What a launch is given asks for both signatures, not only the functions that it is made of.
func TestALaunchAsksForSignatures(t *testing.T) {
	w := newSignedWorld(t)
	id := w.bundleID(t)
	t.Setenv("DOCKER_HOST", fakeengine.Serve(t, func(path string) (json string, known bool) {
		return `{"Id":"` + id + `"}`, strings.Contains(path, "/images/") // under every name
	}))
	deps, done, err := w.deps(t.Context(), plan.Plan{Identity: "demo-aaaaa", Agent: "demo"}, w.client)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	defer func() {
		if err := deps.Release(); err != nil {
			t.Error(err)
		}
	}()
	starter, ok := deps.Sidecars.(sidecar.Starter)
	if !ok {
		t.Fatalf("the sidecars are started by %T", deps.Sidecars)
	}
	_, err = deps.Artifact(t.Context())
	refusedBoot(t, err, "the machine's image is not signed")
	_, err = starter.Image(t.Context())
	refusedBoot(t, err, "the bundle's image is not signed")

	w.sign(t)
	if artifact, err := deps.Artifact(t.Context()); err != nil || artifact.SHA256 == "" {
		t.Errorf("signed: %+v, %v", artifact, err)
	}
	if ref, err := starter.Image(t.Context()); err != nil || ref == "" {
		t.Errorf("signed: %q, %v", ref, err)
	}
}
