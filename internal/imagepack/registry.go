package imagepack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// server is the registry on 127.0.0.1 while a tool packs from it. Over HTTP it can
// only be read, and only by programs: a web page that found the port gets 404.
type server struct {
	addr string
	http *http.Server
	done chan error
}

// serve starts a registry that knows one image as repo@digest. Close ends it.
func serve(ctx context.Context, blobs *blobStore, repo string, image v1.Image) (*server, error) {
	quiet := log.New(io.Discard, "", 0)
	handler := registry.New(registry.WithBlobHandler(blobs), registry.Logger(quiet))
	if err := putManifest(ctx, handler, repo, image); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the local registry: %w", err)
	}
	s := &server{addr: listener.Addr().String(), done: make(chan error, 1)}
	_, port, _ := net.SplitHostPort(s.addr)
	s.http = &http.Server{
		Handler: guard(handler, port), ErrorLog: quiet,
		ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 32 << 10,
		// Without this, `OPTIONS *` would be answered before the guard sees it.
		DisableGeneralOptionsHandler: true,
	}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// close cuts all connections and waits until nobody listens.
func (s *server) close() {
	_ = s.http.Close()
	<-s.done //nolint:errcheck // Close made it return
}

// guard is the whole HTTP surface: GET and HEAD, from something that is not a browser
// and that knows us as the loopback (a rebound name does not).
func guard(next http.Handler, port string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "127.0.0.1:"+port && r.Host != "localhost:"+port || fromBrowser(r.Header) {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this registry is read-only", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func fromBrowser(header http.Header) bool {
	for name := range header {
		if name == "Origin" || strings.HasPrefix(name, "Sec-Fetch-") {
			return true
		}
	}
	return false
}

// putManifest hands the manifest to the registry's handler, not over the network. It
// is done at each start, so the registry needs no memory of its own.
func putManifest(ctx context.Context, handler http.Handler, repo string, image v1.Image) error {
	raw, err := image.RawManifest()
	if err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	digest, err := image.Digest()
	if err != nil {
		return fmt.Errorf("reading the image digest: %w", err)
	}
	mediaType, err := image.MediaType()
	if err != nil {
		return fmt.Errorf("reading the manifest's type: %w", err)
	}
	path := "/v2/" + repo + "/manifests/" + digest.String()
	put, err := http.NewRequestWithContext(ctx, http.MethodPut, path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	put.Header.Set("Content-Type", string(mediaType))
	answer := &answer{header: http.Header{}}
	handler.ServeHTTP(answer, put)
	if answer.status != http.StatusCreated {
		return errors.New("storing the manifest: status " + strconv.Itoa(answer.status) + ": " + answer.body.String())
	}
	return nil
}

// answer is the ResponseWriter of a request that never sees a network.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) { a.status = status }

func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
