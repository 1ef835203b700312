//go:build integration

package agents

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bottle.internal/images"
	"bottle.internal/internal/ca"
	"bottle.internal/internal/event"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/imagebuild/npm"
	"bottle.internal/internal/lockfile"
	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/starter"
	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/integration/rig"
)

// TestBunBelievesTheCA: Claude Code is a program of Bun, which trusts the CA of a bottle by
// the variable that the plan sets for it, for the CA's own names alone, and without the
// variable not at all. It runs here on the host, against a server of ours: no VM is needed.
func TestBunBelievesTheCA(t *testing.T) {
	rig.Need(t, "npm", registry(t.Context()))
	program := claude(t)
	authority := fakenet.Authority(t)
	roots := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(roots, authority.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, host string // that the certificate is for
		env        []string
		believed   bool
	}{
		{"as in a bottle", "localhost", bundleVariable(t, "NODE_EXTRA_CA_CERTS", roots), true},
		{"another name", "model.bottle.test", bundleVariable(t, "NODE_EXTRA_CA_CERTS", roots), false},
		{"without the variable", "localhost", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			port, requests := model(t, authority, test.host)
			said := ask(t, program, append(test.env, "ANTHROPIC_BASE_URL=https://localhost:"+port))
			if got := requests.Load() > 0; got != test.believed {
				t.Errorf("%d requests came, it says %s", requests.Load(), said)
			}
			if !test.believed && !strings.Contains(said, "certificate") {
				t.Errorf("it did not fail by the certificate: %s", said)
			}
		})
	}
}

// bundleVariable is a variable as the plan of a claude agent sets it, with the host's file in
// place of the guest's.
func bundleVariable(t *testing.T, name, roots string) []string {
	t.Helper()
	text, err := starter.Manifest(starter.Options{Template: "claude"})
	if err != nil {
		t.Fatal(err)
	}
	set, err := manifest.Load(manifest.Sources{User: manifest.Source{Path: "bottle.toml", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Resolve(set, plan.Request{Agent: "claude", Identity: names.Identity("claude-x7k2p"), Terminal: true}, plan.Facts{
		VMTool: plan.VMTool{Name: "smolvm-lite", Version: "1.9.3"}, FirewallEngine: "builtin", RecipeKey: "k",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range p.Env {
		if variable.Name == name && variable.Value == guestapi.CABundle {
			return []string{name + "=" + roots}
		}
	}
	t.Errorf("the plan does not set %s", name)
	return nil
}

// claude unpacks the pinned program, which the cache has if an image was made with it.
func claude(t *testing.T) string {
	t.Helper()
	recipe, err := imagebuild.LoadRecipe(images.Recipes(), "agent")
	if err != nil {
		t.Fatal(err)
	}
	var ball imagebuild.Tarball
	for _, tool := range recipe.Npm {
		if tool.Tool == "claude" {
			ball = tool.ByCPU[runtime.GOARCH]
		}
	}
	text, err := os.ReadFile("../../" + lockfile.Name)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := lockfile.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if pin, ok := lock.Tool("claude", "linux/"+runtime.GOARCH); ok {
		ball.Version, ball.Integrity = pin.Version, pin.Integrity
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	settings, err := npm.Load(t.Context(), npm.Host{Env: os.Environ(), Dir: ".", Home: home})
	if err != nil {
		t.Fatal(err)
	}
	download := &npm.Downloader{Dir: filepath.Join(rig.Dir("XDG_CACHE_HOME", home, ".cache"), "bottle"), Settings: settings, HTTP: http.DefaultClient, Events: event.Discard()}
	tarball, err := download.Fetch(t.Context(), npm.Package{Name: ball.Package, Version: ball.Version, Integrity: ball.Integrity})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "claude")
	found, err := unpack(tarball, "package/"+ball.Files[0], path)
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Fatalf("%s %s is no program of Bun any more: which client shows that Bun believes the CA?", ball.Package, ball.Version)
	}
	return path
}

// bunMark stands in every program that Bun has compiled.
const bunMark = "---- Bun! ----"

// unpack writes one file of a tarball, and looks for Bun's mark in it.
func unpack(tarball, name, path string) (bun bool, err error) {
	packed, err := os.Open(tarball)
	if err != nil {
		return false, err
	}
	defer packed.Close()
	plain, err := gzip.NewReader(packed)
	if err != nil {
		return false, err
	}
	archive := tar.NewReader(plain)
	for {
		header, err := archive.Next()
		if err != nil {
			return false, fmt.Errorf("looking for %s: %w", name, err)
		}
		if header.Name == name {
			break
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return false, err
	}
	mark := &finder{want: []byte(bunMark)}
	_, err = io.Copy(io.MultiWriter(file, mark), archive)
	return mark.found, errors.Join(err, file.Close())
}

// finder looks for bytes in a stream.
type finder struct {
	want, tail []byte
	found      bool
}

func (f *finder) Write(p []byte) (int, error) {
	text := append(f.tail, p...)
	f.found = f.found || bytes.Contains(text, f.want)
	f.tail = bytes.Clone(text[max(0, len(text)-len(f.want)):])
	return len(p), nil
}

// model counts the requests that come over TLS, and answers each with an error.
func model(t *testing.T, authority *ca.Authority, host string) (port string, requests *atomic.Int64) {
	t.Helper()
	leaf, err := authority.Leaf(host)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{leaf.TLS}})
	if err != nil {
		t.Fatal(err)
	}
	requests = &atomic.Int64{}
	server := &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"type":"error","error":{"type":"invalid_request_error","message":"this is a test"}}`)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port, requests
}

// ask has the program ask its model once.
func ask(t *testing.T, program string, env []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var said bytes.Buffer
	err := execx.Run(ctx, execx.Cmd{
		Path: program, Args: []string{"-p", "hi"}, Stdout: &said, Stderr: &said, Dir: t.TempDir(),
		Env: append(env, "PATH=/usr/bin:/bin", "HOME="+t.TempDir(), "ANTHROPIC_API_KEY=none", "CLAUDE_CODE_MAX_RETRIES=0",
			"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_TELEMETRY=1", "DISABLE_AUTOUPDATER=1"),
	})
	return fmt.Sprintf("%q, %v", said.String(), err)
}
