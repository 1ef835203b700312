// Package echo is a tiny HTTPS upstream for the demo and for tests: it tells whoever
// asks what it was asked, so that a reader sees that a request arrived, and as what.
//
// It says names of headers but never their values, keeps nothing, and bounds what one
// client can make it do. Its certificate and key come on stdin and are on no disk.
package echo

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"bottle.internal/internal/secret"
)

const (
	maxBootstrap = 64 << 10
	maxHead      = 16 << 10
	maxBody      = 1 << 20
	maxConns     = 256
	timeout      = 30 * time.Second
	grace        = 500 * time.Millisecond
)

// Bootstrap is the one JSON value that the program reads from stdin.
type Bootstrap struct {
	Listen string // such as ":443"
	Cert   []byte // PEM
	Key    secret.Value
}

// Stdin is what [Main] reads. The key is in it in clear, so that it has no other place
// than the program's stdin; fmt and encoding/json keep it redacted.
func (b Bootstrap) Stdin() ([]byte, error) {
	data, err := json.Marshal(bootstrapWire{Listen: b.Listen, Cert: string(b.Cert), Key: b.Key.Reveal()})
	if err != nil {
		return nil, fmt.Errorf("writing the bootstrap: %w", err)
	}
	return append(data, '\n'), nil
}

type bootstrapWire struct {
	Listen string `json:"listen"`
	Cert   string `json:"cert"`
	Key    string `json:"key"`
}

// Main is the program `bundle echo`: one bootstrap from stdin, a ready line on stdout,
// then one JSON line per request, until ctx ends. It returns 0, or 1 after one problem
// line on stderr, or 2 for arguments, of which it takes none.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		_, _ = fmt.Fprintf(stderr, "bundle echo: unexpected argument %q\n", args[0])
		return 2
	}
	if err := run(ctx, stdin, stdout); err != nil {
		_, _ = fmt.Fprintf(stderr, "bundle echo: %v\n", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	boot, err := readBootstrap(stdin)
	if err != nil {
		return err
	}
	cert, err := tls.X509KeyPair([]byte(boot.Cert), []byte(boot.Key))
	if err != nil {
		return errors.New("reading the bootstrap: cert and key are no pair of PEM blocks")
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", boot.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", boot.Listen, err)
	}
	return serve(ctx, listener, cert, &reporter{out: stdout})
}

func readBootstrap(stdin io.Reader) (bootstrapWire, error) {
	var boot bootstrapWire
	// One value, not the whole of stdin: the other end may stay open.
	decoder := json.NewDecoder(io.LimitReader(stdin, maxBootstrap))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&boot); err != nil {
		return boot, errors.New("reading the bootstrap: it is not one JSON value of listen, cert and key")
	}
	if boot.Listen == "" || boot.Cert == "" || boot.Key == "" {
		return boot, errors.New("reading the bootstrap: listen, cert and key are all needed")
	}
	return boot, nil
}

func serve(ctx context.Context, listener net.Listener, cert tls.Certificate, report *reporter) error {
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r, report) }),
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		},
		ReadTimeout: timeout, ReadHeaderTimeout: timeout, WriteTimeout: timeout, IdleTimeout: timeout,
		MaxHeaderBytes:               maxHead,
		ErrorLog:                     log.New(io.Discard, "", 0),
		DisableGeneralOptionsHandler: true,
	}
	report.write(readyLine{Event: "ready", Listen: listener.Addr().String()})
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(netutil.LimitListener(listener, maxConns), "", "") }()
	select {
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	last, done := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer done()
	_ = server.Shutdown(last)
	_ = server.Close()
	<-served //nolint:errcheck // Close made it return
	return nil
}
