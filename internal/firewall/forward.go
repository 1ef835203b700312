package firewall

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"
)

// decisionKey carries the allowed decision to the dialer of the transport.
type decisionKey struct{}

func (s *Server) newTransport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			allowed, ok := ctx.Value(decisionKey{}).(Decision)
			if !ok {
				return nil, errors.New("dialing without a decision")
			}
			conn, _, err := s.reach(ctx, allowed)
			return conn, err
		},
		// No pool: a connection that an older policy checked must not serve a newer one.
		DisableKeepAlives:      true,
		DisableCompression:     true,
		ResponseHeaderTimeout:  s.limits.Headers,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// forward answers a plain request. The request to the upstream is made anew from checked
// parts, never the agent's passed on, so that there is nothing to smuggle in.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, e *exchange) {
	out := s.outbound(r, e)
	size := sizeOf(out)
	if err := e.spend(size); err != nil {
		s.refuse(w, e, e.decision.refuse(RuleBudget, "%s: %v", e.decision.Route, err))
		return
	}
	e.sent(size)
	response, err := s.transport.RoundTrip(out)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.limits.Stall))
	if err != nil {
		s.refuse(w, e, asRefusal(e, err))
		return
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode < http.StatusOK {
		s.refuse(w, e, e.decision.refuse(RuleDial, "%s answered with an upgrade that nobody asked for", e.decision.Route))
		return
	}
	if d, found := s.canaryBack(e, response.Header); found {
		s.refuse(w, e, d)
		return
	}
	copyHeader(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	e.status = response.StatusCode
	if why := s.stream(w, e, response.Body); why != "" {
		s.logClose(e, why)
		// The client must see that the answer is not whole.
		panic(http.ErrAbortHandler)
	}
	s.logClose(e, endClean)
}

func (s *Server) outbound(r *http.Request, e *exchange) *http.Request {
	target := e.decision.Target
	host := target.Host
	if target.Port != 80 {
		host = joinPort(target.Host, target.Port)
	}
	ctx := context.WithValue(e.ctx, decisionKey{}, e.decision)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) { s.logAllow(e, got.Conn.RemoteAddr().String()) },
	})
	out := &http.Request{
		Method: e.method,
		// Opaque sends the very bytes of the path that were checked.
		URL: &url.URL{
			Scheme: "http", Host: joinPort(target.Host, target.Port),
			Opaque: target.Path, RawQuery: target.Query, ForceQuery: target.Asked,
		},
		Host:   host,
		Header: http.Header{},
		Proto:  "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if s.via != nil { // a proxy is sent the whole URL
		out.URL.Opaque = "//" + host + target.Path
	}
	for _, name := range requestHeaders() {
		if values := r.Header.Values(name); len(values) > 0 {
			out.Header[name] = values
		}
	}
	if out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", "") // else net/http adds its own
	}
	return out.WithContext(ctx)
}

// sizeOf is what a request weighs on its way out, give or take the names that net/http
// adds.
func sizeOf(r *http.Request) int {
	size := len(r.Method) + len(r.URL.Opaque) + len(r.URL.RawQuery) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	return size
}

// requestHeaders is all that a plain request may carry: what downloads and caches need,
// nothing that could hold a credential.
func requestHeaders() []string {
	return []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Cache-Control", "If-Match", "If-Modified-Since",
		"If-None-Match", "If-Range", "If-Unmodified-Since", "Pragma", "Range", "User-Agent",
	}
}

// copyHeader leaves out what belongs to the hop.
func copyHeader(dst, src http.Header) {
	hop := []string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te",
		"Trailer", "Transfer-Encoding", "Upgrade", "Alt-Svc", "X-Bottle-Reason",
	}
	for _, value := range src.Values("Connection") {
		for name := range strings.SplitSeq(value, ",") {
			hop = append(hop, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	maps.Copy(dst, src)
	for _, name := range hop {
		dst.Del(name)
	}
}

// stream passes a body on piece by piece; a non-empty answer says why it is not whole.
func (s *Server) stream(w http.ResponseWriter, e *exchange, body io.Reader) string {
	control := http.NewResponseController(w)
	quiet := time.AfterFunc(s.limits.Idle, func() { e.cancel(errIdle) })
	defer quiet.Stop()
	canaries := s.canaries.Load().Stream()
	buffer := make([]byte, copyBuffer)
	for {
		n, err := body.Read(buffer)
		quiet.Reset(s.limits.Idle)
		if fingerprint, found := canaries.Scan(buffer[:n]); found {
			s.logDeny(e, s.withCanary(e.decision, fingerprint, inAnswer))
			return errCanary.Error()
		}
		if n > 0 {
			_ = control.SetWriteDeadline(time.Now().Add(s.limits.Stall))
			if _, err := w.Write(buffer[:n]); err != nil {
				return "the client stopped reading"
			}
			e.received(n)
			_ = control.Flush()
		}
		switch {
		case errors.Is(err, io.EOF):
			return ""
		case err != nil && e.ctx.Err() != nil:
			return endOf(e.ctx)
		case err != nil:
			return "the upstream broke off"
		}
	}
}
