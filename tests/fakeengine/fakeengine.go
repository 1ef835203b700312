// Package fakeengine is a container engine for programs that find theirs by DOCKER_HOST.
package fakeengine

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"testing"

	"bottle.internal/tests/shortdir"
)

// Serve listens until the test ends and returns the DOCKER_HOST. What answer knows nothing of,
// by its path, fails the test.
func Serve(t testing.TB, answer func(path string) (json string, known bool)) (host string) {
	t.Helper()
	socket := filepath.Join(shortdir.New(t), "docker.sock")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		if path.Base(r.URL.Path) == "_ping" {
			return
		}
		json, known := answer(r.URL.Path)
		if !known {
			t.Errorf("unexpected request: %s %s", r.Method, r.URL)
			w.WriteHeader(http.StatusNotImplemented)
		}
		_, _ = io.WriteString(w, json)
	}))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return "unix://" + socket
}
