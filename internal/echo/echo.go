// Package echo is a tiny upstream for the demo and for tests, of two halves. Over HTTPS it
// tells whoever asks what it was asked, so that a reader sees that a request arrived, and
// as what; under one name it can play a language model. Over ssh it holds small git
// repositories.
//
// It keeps these invariants:
//   - It says names of headers, never their values. A credential that it expects is known
//     to it by its hash only; it says whether the real one came.
//   - Its keys come on stdin and are on no disk. Repositories are in a temporary directory
//     that is removed at the end.
//   - ssh runs two commands on the named repositories for one key, and nothing else.
//   - What one client can make it do is bounded in size, number and time.
package echo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
)

const (
	maxHead  = 16 << 10
	maxBody  = 1 << 20
	maxConns = 256
	timeout  = 30 * time.Second
	grace    = 500 * time.Millisecond
)

// Main is the program `bundle echo`: one bootstrap from stdin, a ready line on stdout,
// then one JSON line per request and git command, until ctx ends. It returns 0, or 1
// after one problem line on stderr, or 2 for arguments, of which it takes none.
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
	u, boot, err := parseBootstrap(stdin)
	if err != nil {
		return err
	}
	u.report = &reporter{out: stdout}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", boot.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", boot.Listen, err)
	}
	defer func() { _ = listener.Close() }()
	ready := readyLine{Event: "ready", Listen: listener.Addr().String()}
	group, ctx := errgroup.WithContext(ctx)
	if boot.Git != nil {
		server, err := newGitServer(ctx, *boot.Git, u.report)
		if err != nil {
			return err
		}
		defer server.close()
		ready.Git = server.listener.Addr().String()
		group.Go(func() error { return server.serve(ctx) })
	}
	u.report.write(ready)
	group.Go(func() error { return u.serve(ctx, listener) })
	return group.Wait()
}

// upstream is the HTTPS half.
type upstream struct {
	certs       map[string]*tls.Certificate // by server name
	credentials credentials
	model       *player // nil without one
	report      *reporter
}

// certificate answers for the names that have one and refuses the handshake of others.
func (u *upstream) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := u.certs[strings.ToLower(hello.ServerName)]; cert != nil {
		return cert, nil
	}
	return nil, errors.New("no certificate for this name")
}

func (u *upstream) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:     http.HandlerFunc(u.answer),
		TLSConfig:   &tls.Config{GetCertificate: u.certificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
		ReadTimeout: timeout, ReadHeaderTimeout: timeout, WriteTimeout: timeout, IdleTimeout: timeout,
		MaxHeaderBytes:               maxHead,
		ErrorLog:                     log.New(io.Discard, "", 0),
		DisableGeneralOptionsHandler: true,
	}
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
