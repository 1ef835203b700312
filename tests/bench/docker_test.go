//go:build integration

package bench

import (
	"archive/tar"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/client"

	"bottle.internal/tests/integration/rig"
)

// docker builds the way people do: ADD of the base and of the tarball.
type docker struct {
	engine *client.Client
	dir    string // the build context
}

func newDocker(b *testing.B, base []v1.Layer, tool, integrity string) *docker {
	b.Helper()
	engine, err := rig.Engine(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = engine.Close() })
	d := &docker{engine: engine, dir: b.TempDir()}
	text := "FROM scratch\n"
	for i, one := range base {
		file := fmt.Sprintf("base-%d.tar.gz", i)
		text += "ADD " + file + " /\n"
		if err := d.write(file, one.Compressed); err != nil {
			b.Fatal(err)
		}
	}
	text += "ADD tool.tgz /opt/" + tool + "/\n"
	if err := os.WriteFile(filepath.Join(d.dir, "Dockerfile"), []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	if err := d.write("tool.tgz", func() (io.ReadCloser, error) { return tarball(b, integrity) }); err != nil {
		b.Fatal(err)
	}
	return d
}

// tarball is the download with an integrity, found by its content.
func tarball(b *testing.B, integrity string) (io.ReadCloser, error) {
	b.Helper()
	found, err := filepath.Glob(filepath.Join(usersCache(b), "npm", "*.tgz"))
	if err != nil {
		return nil, err
	}
	for _, path := range found {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		hash := sha512.New()
		if _, err := io.Copy(hash, file); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if "sha512-"+base64.StdEncoding.EncodeToString(hash.Sum(nil)) == integrity {
			_, err = file.Seek(0, io.SeekStart)
			return file, err
		}
		_ = file.Close()
	}
	return nil, errors.New("the tarball was not downloaded")
}

func (d *docker) write(name string, open func() (io.ReadCloser, error)) error {
	from, err := open()
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(d.dir, name))
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// buildAndPush uses no cache of the builder and a new registry each time.
func (d *docker) buildAndPush(b *testing.B) time.Duration {
	b.Helper()
	address, stop := server(b)
	defer stop()
	name := strings.Replace(address, "127.0.0.1", "localhost", 1) + "/bottle-bench:latest"
	defer d.remove(b, name)
	begin := time.Now()
	built, err := d.engine.ImageBuild(b.Context(), d.context(), client.ImageBuildOptions{Tags: []string{name}, NoCache: true, Remove: true, ForceRemove: true})
	if err != nil {
		b.Fatal(err)
	}
	if err := drain(built.Body); err != nil {
		b.Fatalf("docker build: %v", err)
	}
	nobody := base64.URLEncoding.EncodeToString([]byte("{}"))
	pushed, err := d.engine.ImagePush(b.Context(), name, client.ImagePushOptions{RegistryAuth: nobody})
	if err != nil {
		b.Fatal(err)
	}
	if err := drain(pushed); err != nil {
		b.Fatalf("docker push: %v", err)
	}
	return time.Since(begin)
}

// context streams the directory, as the docker command does.
func (d *docker) context() io.Reader {
	read, write := io.Pipe()
	go func() {
		w := tar.NewWriter(write)
		write.CloseWithError(errors.Join(w.AddFS(os.DirFS(d.dir)), w.Close()))
	}()
	return read
}

// remove also takes the layers in between.
func (d *docker) remove(b *testing.B, name string) {
	b.Helper()
	_, err := d.engine.ImageRemove(context.WithoutCancel(b.Context()), name, client.ImageRemoveOptions{Force: true, PruneChildren: true})
	if err != nil {
		b.Errorf("removing %s: %v", name, err)
	}
}

// drain reads a stream of messages to its end; an error comes as one of them.
func drain(stream io.ReadCloser) error {
	defer stream.Close()
	for decoder := json.NewDecoder(stream); ; {
		var message struct {
			Error string `json:"error"`
		}
		switch err := decoder.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case message.Error != "":
			return errors.New(message.Error)
		}
	}
}
