//go:build integration

package ca_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/execx"
)

// The clients that agents use accept the authority and its leaf, and a certificate
// for another name is refused by them.
func TestRealClients(t *testing.T) {
	t.Parallel()
	authority := newCA(t)
	dir := t.TempDir()
	roots := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(roots, authority.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	leaf, err := authority.Leaf("a.test")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{leaf.TLS}})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "hello") }),
		ReadHeaderTimeout: time.Minute,
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())

	const script = `const https = require('https');
https.get({host: '127.0.0.1', port: process.argv[1], servername: process.argv[2], headers: {host: process.argv[2]}}, r => {
  r.on('data', d => process.stdout.write(d));
}).on('error', e => { console.error(e.code); process.exit(1); });`
	for tool, args := range map[string]func(name string) []string{
		"curl": func(name string) []string {
			return []string{"-sS", "--cacert", roots, "--resolve", name + ":" + port + ":127.0.0.1", "https://" + name + ":" + port + "/"}
		},
		"node": func(name string) []string { return []string{"-e", script, port, name} },
	} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			path, err := execx.Find(tool)
			if err != nil {
				t.Skipf("%s is not here: %v", tool, err)
			}
			if out, err := output(t.Context(), path, roots, args("a.test")); err != nil || strings.TrimSpace(out) != "hello" {
				t.Errorf("%s: %q, %v", tool, out, err)
			}
			if out, err := output(t.Context(), path, roots, args("b.test")); err == nil {
				t.Errorf("%s accepted another name: %q", tool, out)
			}
		})
	}
}

func output(ctx context.Context, path, roots string, args []string) (string, error) {
	out, err := execx.Output(ctx, execx.Cmd{
		Path: path, Args: args, Env: []string{"NODE_EXTRA_CA_CERTS=" + roots, "PATH=" + os.Getenv("PATH")},
	})
	return string(out), err
}
