package app

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/plan"
	"bottle.internal/internal/sidecar"
)

// engineWith is an engine that has one image from the beginning, under every name.
func engineWith(t *testing.T, id string) (host string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "be-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "docker.sock")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case path.Base(r.URL.Path) == "_ping":
		case strings.Contains(r.URL.Path, "/images/"):
			_, _ = io.WriteString(w, `{"Id":"`+id+`"}`)
		default:
			t.Errorf("unexpected request: %s %s", r.Method, r.URL)
			w.WriteHeader(http.StatusNotImplemented)
		}
	}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return "unix://" + socket
}

// What a launch is given asks for both signatures, not only the functions that it is made of.
func TestALaunchAsksForSignatures(t *testing.T) {
	w := newSignedWorld(t)
	job, err := w.job(t.Context(), bundleRecipe, nil)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := w.store(nil).Identify(t.Context(), w.image(bundleRecipe, job))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_HOST", engineWith(t, identity.Config))
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
