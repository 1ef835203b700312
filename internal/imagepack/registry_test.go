package imagepack_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ask sends one raw request, so that nothing in between corrects it.
func ask(ctx context.Context, addr, request string) (*http.Response, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	request = strings.ReplaceAll(strings.ReplaceAll(request, "ADDR", addr), "\n", "\r\n") + "\r\nConnection: close\r\n\r\n"
	if _, err := fmt.Fprint(conn, request); err != nil {
		return nil, err
	}
	method, _, _ := strings.Cut(request, " ")
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	return answer, answer.Body.Close()
}

func TestRegistryOverHTTP(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, request string // MANIFEST and BLOB stand for the paths of things that are there
		want          int
	}{
		{"the tool", "GET MANIFEST HTTP/1.1\nHost: ADDR", 200},
		{"the tool, by name", "GET MANIFEST HTTP/1.1\nHost: localhost:PORT", 200},
		{"HEAD", "HEAD MANIFEST HTTP/1.1\nHost: ADDR", 200},
		{"blob", "GET BLOB HTTP/1.1\nHost: ADDR", 200},
		{"HEAD blob", "HEAD BLOB HTTP/1.1\nHost: ADDR", 200},
		{"part of a blob", "GET BLOB HTTP/1.1\nHost: ADDR\nRange: bytes=1-2", 206},
		{"ping", "GET /v2/ HTTP/1.1\nHost: ADDR", 200},

		{"foreign name", "GET MANIFEST HTTP/1.1\nHost: rebound.test:PORT", 404},
		{"foreign name, no port", "GET MANIFEST HTTP/1.1\nHost: rebound.test", 404},
		{"another port", "GET MANIFEST HTTP/1.1\nHost: 127.0.0.1:1", 404},
		{"no port", "GET MANIFEST HTTP/1.1\nHost: 127.0.0.1", 404},
		{"another loopback", "GET MANIFEST HTTP/1.1\nHost: 127.0.0.2:PORT", 404},
		{"empty host", "GET MANIFEST HTTP/1.1\nHost:", 404},
		{"host in the request line", "GET http://rebound.test:PORTMANIFEST HTTP/1.1\nHost: ADDR", 404},
		{"HTTP/1.0 without a host", "GET MANIFEST HTTP/1.0", 404},
		{"page of another site", "GET MANIFEST HTTP/1.1\nHost: ADDR\nOrigin: http://page.test", 404},
		{"opaque origin", "GET MANIFEST HTTP/1.1\nHost: ADDR\nOrigin: null", 404},
		{"empty origin", "GET MANIFEST HTTP/1.1\nHost: ADDR\nOrigin:", 404},
		{"our own origin", "GET MANIFEST HTTP/1.1\nHost: ADDR\nOrigin: http://ADDR", 404},
		{"image tag in a page", "GET BLOB HTTP/1.1\nHost: ADDR\nsec-fetch-mode: no-cors", 404},
		{"typed into a browser", "GET /v2/ HTTP/1.1\nHost: ADDR\nSec-Fetch-Site: none", 404},
		{"a fetch header of the future", "GET /v2/ HTTP/1.1\nHost: ADDR\nSEC-FETCH-STORAGE: x", 404},
		{"preflight", "OPTIONS MANIFEST HTTP/1.1\nHost: ADDR\nOrigin: http://page.test", 404},

		{"start an upload", "POST /v2/agent/blobs/uploads/ HTTP/1.1\nHost: ADDR\nContent-Length: 0", 405},
		{"whole upload", "POST /v2/agent/blobs/uploads/?digest=sha256:" + strings.Repeat("a", 64) + " HTTP/1.1\nHost: ADDR\nContent-Length: 0", 405},
		{"send a chunk", "PATCH /v2/agent/blobs/uploads/1 HTTP/1.1\nHost: ADDR\nContent-Length: 0", 405},
		{"finish an upload", "PUT /v2/agent/blobs/uploads/1?digest=sha256:" + strings.Repeat("a", 64) + " HTTP/1.1\nHost: ADDR\nContent-Length: 0", 405},
		{"put a manifest", "PUT /v2/agent/manifests/latest HTTP/1.1\nHost: ADDR\nContent-Length: 0", 405},
		{"delete the manifest", "DELETE MANIFEST HTTP/1.1\nHost: ADDR", 405},
		{"delete a blob", "DELETE BLOB HTTP/1.1\nHost: ADDR", 405},
		{"method in lower case", "delete BLOB HTTP/1.1\nHost: ADDR", 405},
		{"options", "OPTIONS * HTTP/1.1\nHost: ADDR", 405},
		{"trace", "TRACE /v2/ HTTP/1.1\nHost: ADDR", 405},

		{"blob outside of the store", "GET /v2/agent/blobs/sha256:../../../etc/passwd HTTP/1.1\nHost: ADDR", 404},
		{"other hash", "GET /v2/agent/blobs/sha512:" + strings.Repeat("a", 128) + " HTTP/1.1\nHost: ADDR", 404},
		{"unknown blob", "GET /v2/agent/blobs/sha256:" + strings.Repeat("a", 64) + " HTTP/1.1\nHost: ADDR", 404},
	}
	b := newBench(t)
	b.packer.before = func(ctx context.Context, ref string) error {
		addr, rest, _ := strings.Cut(ref, "/")
		repo, digest, _ := strings.Cut(rest, "@")
		_, port, _ := net.SplitHostPort(addr)
		blobs, err := filepath.Glob(filepath.Join(b.dir, "registry", "sha256", "*"))
		if err != nil || len(blobs) != 2 {
			return fmt.Errorf("blobs: %v, %w", blobs, err)
		}
		fill := strings.NewReplacer(
			"MANIFEST", "/v2/"+repo+"/manifests/"+digest, "PORT", port,
			"BLOB", "/v2/"+repo+"/blobs/sha256:"+filepath.Base(blobs[0]),
		)
		for _, test := range tests {
			answer, err := ask(ctx, addr, fill.Replace(test.request))
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			} else if answer.StatusCode != test.want {
				t.Errorf("%s: status %d, want %d", test.name, answer.StatusCode, test.want)
			}
		}
		return nil
	}
	b.ensure(t, "one") // which pulls afterwards: nothing was deleted
	if entries, err := os.ReadDir(filepath.Join(b.dir, "registry", "sha256")); err != nil || len(entries) != 2 {
		t.Errorf("blobs afterwards: %v, %v", entries, err)
	}
}
