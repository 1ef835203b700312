package egress

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"bottle.internal/internal/netguard"
)

// handle answers one request of the agent.
func (s *Server) handle(port uint16, w http.ResponseWriter, r *http.Request) {
	e, refused := s.begin(port, w, r)
	defer s.end(e)
	if more := s.admit(e, r); refused == nil {
		refused = more
	}
	if refused != nil {
		s.answerRefusal(w, r, e, refused)
		return
	}
	if e.head.Upgrade {
		s.webSocket(w, r, e)
		return
	}
	s.forward(w, r, e)
}

// admit judges the head of a request. The exchange is registered by then, so that a
// reload in between cannot be missed by both.
func (s *Server) admit(e *exchange, r *http.Request) *Refusal {
	e.snap = s.snapshot.Load()
	e.route = e.snap.routes[e.target]
	if e.route == nil {
		return refuse(RuleHost, "%s:%d has no route any more", e.target.host, e.target.port)
	}
	verdict := e.snap.watch.judge(e.route.Route, e.head, r.Header)
	e.hidden = verdict.hidden
	if verdict.found != nil {
		s.logSighting(e, verdict.found)
	}
	switch {
	case verdict.refused != nil:
		return verdict.refused
	case e.route.Auth != nil && e.route.token.current.Load() == nil:
		return refuse(RuleToken, "%s: %s", e.route, e.route.token.problem)
	}
	return s.spend(e.route, int64(len(e.head.Target)))
}

// forward sends the request on and answers with the answer.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, e *exchange) {
	out, err := s.outbound(w, r, e)
	if err != nil {
		s.answerRefusal(w, r, e, e.uploadRefusal(err))
		return
	}
	if out.Body != nil {
		// A transport may read on after its answer; the server's body must not be read
		// once the handler is done.
		defer func() { _ = out.Body.Close() }()
	}
	response, err := s.roundTrip(e, out)
	e.endHints()
	if err != nil {
		s.answerRefusal(w, r, e, e.asRefusal(err))
		return
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode < http.StatusOK {
		s.answerRefusal(w, r, e, refuse(RuleAnswer, "%s answered with an upgrade that nobody asked for", e.route))
		return
	}
	s.respond(w, r, e, response)
}

func (e *exchange) uploadRefusal(err error) *Refusal {
	if cause := e.cause(); cause != nil {
		return cause
	}
	return refuse(RuleClient, "%s: the body of the request could not be read: %s", e.route, netguard.Briefly(err, maxWhy))
}

// outbound makes the request anew from checked parts, so that there is nothing to smuggle
// in.
func (s *Server) outbound(w http.ResponseWriter, r *http.Request, e *exchange) (*http.Request, error) {
	rt := e.route
	path, query, asked := e.head.split()
	out := &http.Request{
		Method: e.head.Method,
		// Opaque sends the very bytes of the path that were checked.
		URL:   &url.URL{Scheme: "https", Host: rt.String(), Opaque: path, RawQuery: query, ForceQuery: asked},
		Host:  rt.authority(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, len(r.Header)+2),
	}
	rt.headers.copyRequest(out.Header, r.Header)
	rt.chooseCoding(out.Header, r.Header)
	if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		out.Header.Set("Expect", "100-continue")
	}
	if slices.ContainsFunc(r.Header["Te"], func(value string) bool { return strings.EqualFold(value, "trailers") }) {
		out.Header.Set("Te", "trailers")
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // else net/http adds its own
	}
	out = out.WithContext(httptrace.WithClientTrace(e.ctx, s.trace(w, e)))
	if !e.head.HasBody {
		return out, nil
	}
	up, refused := s.newUpload(e, r)
	if refused != nil {
		e.cancel(refused)
		return nil, refused
	}
	s.copyTrailers(up, out, r)
	return out, up.attach(out, r)
}

// endHints leaves the writer to the handler: a transport may report hints after its answer.
func (e *exchange) endHints() {
	e.hints.Lock()
	e.final = true
	e.hints.Unlock()
}

func (r Route) authority() string {
	if r.Port == 443 {
		return r.Host
	}
	return r.String()
}

// copyTrailers passes on the announced trailers that could be headers too. Their values
// are known at the end of the body.
func (s *Server) copyTrailers(up *upload, out, r *http.Request) {
	for name := range r.Trailer {
		if up.e.route.headers.admits(name) {
			if out.Trailer == nil {
				out.Trailer = http.Header{}
			}
			out.Trailer[name] = nil
		}
	}
	up.ended = func() error {
		for name, values := range r.Trailer {
			for _, value := range values {
				if found := up.stream.watch.text(up.e.route.Route, "trailers", value); found != nil {
					s.logSighting(up.e, found)
					if found.block {
						refused := found.refusal(up.e.route.Route)
						up.e.cancel(refused)
						return refused
					}
				}
			}
			if _, announced := out.Trailer[name]; announced {
				out.Trailer[name] = values
			}
		}
		return nil
	}
}

// trace logs the allow before the first byte, and passes early hints on.
func (s *Server) trace(w http.ResponseWriter, e *exchange) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) { s.logAllow(e, got.Conn.RemoteAddr().String()) },
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			e.hints.Lock()
			defer e.hints.Unlock()
			if refused := s.judgeAnswer(e, http.Header(header)); refused != nil {
				e.cancel(refused)
				return refused
			}
			if code != http.StatusContinue && code != http.StatusSwitchingProtocols && !e.final {
				e.route.copyAnswer(w.Header(), http.Header(header))
				w.WriteHeader(code)
				clear(w.Header())
			}
			return nil
		},
	}
}

// roundTrip puts the credential in. An upstream that does not accept it is asked once more
// with a new one, if the host has one and the body can be sent again.
func (s *Server) roundTrip(e *exchange, out *http.Request) (*http.Response, error) {
	rt := e.route
	if rt.Auth == nil {
		return rt.transport.RoundTrip(out)
	}
	used := rt.token.current.Load()
	out.Header.Set(rt.Auth.Header, rt.value(used))
	response, err := rt.transport.RoundTrip(out)
	if err != nil || response.StatusCode != http.StatusUnauthorized || !s.refresh(e, used) {
		return response, err
	}
	if out.Body != nil && out.GetBody == nil {
		return response, nil // the next request has the new token
	}
	_, _ = io.CopyN(io.Discard, response.Body, maxReplay) // so that the connection can serve again
	_ = response.Body.Close()
	again := out.Clone(out.Context())
	if out.GetBody != nil {
		if again.Body, err = out.GetBody(); err != nil {
			return nil, fmt.Errorf("sending the body again: %w", err)
		}
	}
	again.Header.Set(rt.Auth.Header, rt.value(rt.token.current.Load()))
	return rt.transport.RoundTrip(again)
}
