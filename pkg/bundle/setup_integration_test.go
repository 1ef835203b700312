//go:build integration

package bundle_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/daemon"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/moby/moby/client"

	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/echo"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/gate"
	"bottle.internal/internal/link"
	"bottle.internal/internal/secret"
	"bottle.internal/pkg/bundle"
	"bottle.internal/tests/need"
)

const owner = "bottle-integration-test"

func engineOf(t *testing.T) *client.Client {
	t.Helper()
	engine, err := bundle.Connect(t.Context(), "")
	need.Need(t, "docker", err)
	t.Cleanup(func() { _ = engine.Close() })
	return engine
}

// buildImage makes an image of our program and nothing else, not even a shell.
func buildImage(t *testing.T, engine *client.Client) string {
	t.Helper()
	dir := t.TempDir()
	var archive bytes.Buffer
	files := tar.NewWriter(&archive)
	for _, dir := range []string{"etc/", "run/", "tmp/", "usr/", "usr/local/", "usr/local/bin/"} {
		if err := files.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	for program, source := range map[string]string{"bundle": "bottle.internal/images/bundle", "knock": "./testdata/knock", "spy": "./testdata/spy"} {
		path := filepath.Join(dir, program)
		err := execx.Run(t.Context(), execx.Cmd{
			Path: "go", Args: []string{"build", "-trimpath", "-o", path, source}, Env: append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux"),
		})
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		header := &tar.Header{Name: "usr/local/bin/" + program, Mode: 0o755, Size: int64(len(data))}
		if err := files.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer(archive.Bytes(), types.DockerUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	image, err = mutate.ConfigFile(image, withPlatform(t, image))
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("bottle-integration/bundle:" + strings.ToLower(rand.Text()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = engine.ImageRemove(context.Background(), tag.String(), client.ImageRemoveOptions{Force: true, PruneChildren: true})
	})
	if answer, err := daemon.Write(tag, image, daemon.WithClient(engine), daemon.WithContext(t.Context())); err != nil || strings.Contains(answer, "errorDetail") {
		t.Fatalf("loading the image: %s, %v", answer, err)
	}
	return tag.String()
}

func withPlatform(t *testing.T, image v1.Image) *v1.ConfigFile {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	return config
}

// policy admits the echo upstream.
func policy(t *testing.T) control.Inputs {
	t.Helper()
	files, err := firewall.Render(firewall.Policy{Bottle: "dev", Hosts: []firewall.Host{
		{Host: "echo.bottle.test", Port: 443, Scheme: "https", Mode: "plain", Private: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	inputs := control.Inputs{}
	for _, file := range files {
		inputs[file.Name] = secret.New(string(file.Data))
	}
	return inputs
}

func echoStdin(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"echo.bottle.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := echo.Bootstrap{
		Listen: ":443", Certs: []echo.Cert{{
			Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			Key:  secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))),
		}},
	}.Stdin()
	if err != nil {
		t.Fatal(err)
	}
	return stdin
}

// live is a started bundle with its control channel.
type live struct {
	t      *testing.T
	engine *client.Client
	spec   bundle.Spec
	key    link.Key
	*bundle.Bundle
	host *control.Host
}

func (l *live) bootstrap() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	l.host = control.NewHost(l.Stdio())
	opened, err := gate.Inputs(l.key, []uint16{8888})
	if err != nil {
		l.t.Fatal(err)
	}
	boot := control.Bootstrap{
		Daemons: []string{daemons.Gate, daemons.Firewall},
		Inputs:  map[string]control.Inputs{daemons.Gate: opened, daemons.Firewall: policy(l.t)},
	}
	if err := l.host.Bootstrap(ctx, boot); err != nil {
		l.t.Fatal(err)
	}
	if err := l.host.WaitReady(ctx); err != nil {
		l.t.Fatal(err)
	}
}

// health asks the firewall through the gate, as a relay would.
func (l *live) health() string {
	conn, err := link.DialGate(l.t.Context(), l.GateAddr(), l.key, 8888)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: 127.0.0.1:8888\r\nConnection: close\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err.Error()
	}
	_ = response.Body.Close()
	return response.Status
}

func (l *live) event(what control.What) control.Event {
	l.t.Helper()
	select {
	case e := <-l.host.Events():
		if e.What != what {
			l.t.Fatalf("event %+v (%v), want %s", e, l.host.Err(), what)
		}
		return e
	case <-time.After(10 * time.Second):
		l.t.Fatalf("no event, want %s", what)
	}
	panic("unreachable")
}

func startLive(t *testing.T) *live {
	t.Helper()
	engine := engineOf(t)
	image := buildImage(t, engine)
	key, err := link.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spec := bundle.Spec{
		Identity: "probe-" + strings.ToLower(rand.Text()[:5]), Owner: owner, Image: image, Logs: t.Output(),
		Users: []bundle.User{{UID: 64880, RunDir: "/run/gate"}, {UID: 64881, RunDir: "/run/firewall"}},
		Echo:  &bundle.Echo{Image: image, Aliases: []string{"echo.bottle.test", "unlisted.bottle.test"}, Stdin: echoStdin(t)},
	}
	t.Cleanup(func() {
		if err := bundle.Remove(context.Background(), engine, owner, spec.Identity); err != nil {
			t.Error(err)
		}
	})
	begin := time.Now()
	b, err := bundle.Start(t.Context(), engine, spec)
	if err != nil {
		t.Fatal(err)
	}
	l := &live{t: t, engine: engine, spec: spec, key: key, Bundle: b}
	l.bootstrap()
	t.Logf("started and ready after %v", time.Since(begin).Round(time.Millisecond))
	return l
}
