// Package fakeimage makes images out of a few words, and a registry to have them on.
package fakeimage

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// File is an entry of a layer. Its size is that of the content.
type File struct {
	tar.Header
	Content string
}

// Try makes a layer. It fails where a header is one that tar cannot write.
func Try(files []File, options ...tarball.LayerOption) (v1.Layer, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for _, file := range files {
		file.Size = int64(len(file.Content))
		if err := archive.WriteHeader(&file.Header); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(archive, file.Content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil }, options...)
}

// Layer is [Try] where nothing can fail.
func Layer(t testing.TB, files ...File) v1.Layer {
	t.Helper()
	layer, err := Try(files)
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

// Read reads an archive to its end.
func Read(t testing.TB, archive io.Reader) (files []File) {
	t.Helper()
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, File{*header, string(content)})
	}
}

// Registry is an empty one on the loopback.
func Registry(t testing.TB) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return server
}

// Push writes an image as NAME:TAG and returns the reference.
func Push(t testing.TB, server *httptest.Server, nameAndTag string, image v1.Image) (ref string) {
	t.Helper()
	ref = strings.TrimPrefix(server.URL, "http://") + "/" + nameAndTag
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(parsed, image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return ref
}
