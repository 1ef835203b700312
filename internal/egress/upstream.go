package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"bottle.internal/internal/netguard"
)

// maxWhy bounds the reason of a connection that failed.
const maxWhy = 160

// newTransport speaks to one route's host and no other, whatever the URL says.
func (s *Server) newTransport(r Route, upstreamProxy, proxyAuth string) (*http.Transport, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, _, err := s.settings.Dialer.Dial(ctx, r.Host, r.Port, r.opened())
		return conn, err
	}
	if upstreamProxy != "" {
		through, err := parseProxy(upstreamProxy)
		if err != nil {
			return nil, fmt.Errorf("upstream_proxy: %w", err)
		}
		if strings.ContainsAny(proxyAuth, "\r\n\x00") {
			return nil, fmt.Errorf("%s holds a line break", ProxyAuthInput)
		}
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return s.dialThrough(ctx, through, r, proxyAuth)
		}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.Host}
	if r.UpstreamCA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(r.UpstreamCA)) {
			return nil, errors.New("upstream_ca holds no certificate")
		}
	}
	return &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    s.limits.Dial,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // codings are the agent's and ours to choose
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxAnswer,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second,
			MaxReadFrameSize: 256 << 10, // fewer, larger frames of a large body
		},
	}, nil
}

// dialThrough asks a proxy for a tunnel. The proxy resolves the route's host then, so
// that only the proxy's own address is judged here.
func (s *Server) dialThrough(ctx context.Context, through proxy, r Route, auth string) (net.Conn, error) {
	conn, _, err := s.settings.Dialer.Dial(ctx, through.host, through.port, proxyRanges())
	if err != nil {
		return nil, fmt.Errorf("reaching the upstream proxy: %w", err)
	}
	if err := s.tunnel(conn, r, auth); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (s *Server) tunnel(conn net.Conn, r Route, auth string) error {
	_ = conn.SetDeadline(time.Now().Add(s.limits.Dial))
	head := "CONNECT " + r.String() + " HTTP/1.1\r\nHost: " + r.String() + "\r\n"
	if auth != "" {
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(auth)) + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return fmt.Errorf("asking the upstream proxy: %w", err)
	}
	buffered := bufio.NewReader(io.LimitReader(conn, maxAnswer))
	response, err := http.ReadResponse(buffered, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return errors.New("the upstream proxy gave no answer that can be read")
	}
	_ = response.Body.Close()
	switch {
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("the upstream proxy answered %d", response.StatusCode)
	case buffered.Buffered() > 0:
		return errors.New("the upstream proxy spoke before TLS began")
	}
	return conn.SetDeadline(time.Time{})
}

// asRefusal says in one line why there is no answer.
func (e *exchange) asRefusal(err error) *Refusal {
	if cause := e.cause(); cause != nil {
		return cause
	}
	var refused *Refusal
	var address *netguard.RefusedError
	var unresolved *netguard.ResolveError
	var certificate *tls.CertificateVerificationError
	rt := e.route
	switch {
	case errors.As(err, &refused):
		return refused
	case e.ctx.Err() != nil:
		return refuse(RuleClient, "the agent left")
	case errors.As(err, &address):
		return refuse(RuleAddress, "%s resolves to a refused address: %s", rt, address.Reason)
	case errors.As(err, &unresolved):
		return refuse(RuleResolve, "%s has no address: %s", rt, netguard.Briefly(err, maxWhy))
	case errors.As(err, &certificate):
		return refuse(RuleTLS, "%s: its certificate is not accepted: %s", rt, netguard.Briefly(certificate.Err, maxWhy))
	}
	var op *net.OpError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record):
		return refuse(RuleTLS, "%s does not speak TLS", rt)
	case errors.As(err, &op) && op.Op == "dial":
		return refuse(RuleDial, "%s does not answer: %s", rt, netguard.Briefly(err, maxWhy))
	case errors.As(err, &op) && op.Op == "remote error":
		return refuse(RuleTLS, "%s: the handshake failed: %s", rt, netguard.Briefly(err, maxWhy))
	}
	return refuse(RuleAnswer, "%s gave no answer: %s", rt, rt.secrets().Redact(netguard.Briefly(err, maxWhy)))
}
