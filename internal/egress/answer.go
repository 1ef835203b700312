package egress

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"bottle.internal/internal/needle"
)

const copyBuffer = 64 << 10

// buffers are for bodies on their way to the agent.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *[]byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return buffer
	}
	buffer := make([]byte, copyBuffer)
	return &buffer
}

func (b *buffers) put(buffer *[]byte) { b.pool.Put(buffer) }

func redactAll(secrets *needle.Set, values []string) []string {
	if secrets.Empty() {
		return values
	}
	out := make([]string, len(values))
	for i, value := range values {
		out[i] = secrets.Redact(value)
	}
	return out
}

// chooseCoding asks for codings that egress can read where it has to: on a route with a
// credential. Elsewhere the coding is between the agent and the host.
func (rt *route) chooseCoding(dst, src http.Header) {
	accepted, asked := src["Accept-Encoding"]
	switch {
	case rt.Auth == nil:
		if asked {
			dst["Accept-Encoding"] = accepted
		}
	case acceptsGzip(accepted) && src.Get("Range") == "":
		dst.Set("Accept-Encoding", "gzip")
	default:
		dst.Set("Accept-Encoding", "identity")
	}
}

func acceptsGzip(accepted []string) bool {
	for _, value := range accepted {
		for one := range strings.SplitSeq(value, ",") {
			coding, weight, _ := strings.Cut(one, ";")
			coding, weight = strings.ToLower(strings.TrimSpace(coding)), strings.ReplaceAll(weight, " ", "")
			if (coding == "gzip" || coding == "*") && !slices.Contains([]string{"q=0", "q=0.0", "q=0.00", "q=0.000"}, weight) {
				return true
			}
		}
	}
	return false
}

// readable returns the body as it can be searched for the credential, and whether it was
// decoded for that.
func (e *exchange) readable(response *http.Response, hasBody bool) (body io.Reader, decoded bool, refused *Refusal) {
	if e.route.Auth == nil {
		return response.Body, false, nil
	}
	coding := strings.ToLower(strings.TrimSpace(strings.Join(response.Header["Content-Encoding"], ",")))
	switch {
	case coding == "", coding == "identity":
		return needle.NewReader(response.Body, e.route.secrets()), false, nil
	case coding != "gzip" && coding != "x-gzip", response.StatusCode == http.StatusPartialContent:
		return nil, false, refuse(RuleAnswer, "%s answered in Content-Encoding %s, which cannot be searched for the credential", e.route, coding)
	case !hasBody:
		return response.Body, true, nil
	}
	return needle.NewReader(&gunzip{source: response.Body}, e.route.secrets()), true, nil
}

// respond streams the answer to the agent, piece by piece as it comes.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, e *exchange, response *http.Response) {
	hasBody := r.Method != http.MethodHead && response.StatusCode != http.StatusNoContent &&
		response.StatusCode != http.StatusNotModified && response.ContentLength != 0
	body, decoded, refused := e.readable(response, hasBody)
	if refused == nil {
		refused = s.judgeAnswer(e, response.Header)
	}
	if refused != nil {
		s.answerRefusal(w, r, e, refused)
		return
	}
	body = s.watchAnswer(e, body)
	header := w.Header()
	e.route.copyAnswer(header, response.Header)
	length := response.ContentLength
	if decoded {
		header.Del("Content-Encoding")
		header.Del("Content-Length")
		length = -1
	}
	announced := slices.Sorted(keys(response.Trailer))
	if len(announced) > 0 && r.ProtoMajor == 1 {
		header.Del("Content-Length") // only a chunked body has trailers
		length = -1
	}
	for _, name := range announced {
		if !isHop(name) && name != "Set-Cookie" {
			header.Add("Trailer", name)
		}
	}
	e.status = response.StatusCode
	e.begun.Store(true)
	w.WriteHeader(response.StatusCode)
	if hasBody {
		refused = s.stream(w, e, &download{body: body, length: length})
	}
	if refused == nil {
		refused = s.judgeAnswer(e, response.Trailer)
	}
	if refused != nil {
		s.logClose(e, refused)
		// The client must see that the answer is not whole.
		panic(http.ErrAbortHandler)
	}
	e.trailers(header, response, announced)
	s.logClose(e, nil)
}

// judgeAnswer looks for canaries in the head of an answer.
func (s *Server) judgeAnswer(e *exchange, header http.Header) *Refusal {
	found := e.snap.watch.answerHead(e.route.Route, header)
	if found == nil {
		return nil
	}
	s.logSighting(e, found)
	if !found.block {
		return nil
	}
	return found.refusal(e.route.Route)
}

func keys(header http.Header) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range header {
			if !yield(name) {
				return
			}
		}
	}
}

func (e *exchange) trailers(header http.Header, response *http.Response, announced []string) {
	if len(response.Trailer) == 0 {
		return
	}
	values := http.Header{}
	e.route.copyAnswer(values, response.Trailer)
	for name, list := range values {
		if !slices.Contains(announced, name) {
			name = http.TrailerPrefix + name
		}
		header[name] = list
	}
}

// download is a body on its way to the agent.
type download struct {
	body   io.Reader
	length int64 // -1: not known
}

// stream copies a body; what it returns says why it is not whole.
func (s *Server) stream(w http.ResponseWriter, e *exchange, d *download) *Refusal {
	if d.length < 0 {
		_ = e.control.Flush() // the head, for a stream may be long silent
	}
	buffer := s.buffers.get()
	defer s.buffers.put(buffer)
	sent := int64(0)
	for {
		n, err := d.body.Read(*buffer)
		e.touch()
		if n > 0 && e.ctx.Err() == nil {
			if _, err := w.Write((*buffer)[:n]); err != nil {
				return e.endedBy(refuse(RuleClient, "the agent stopped reading"))
			}
			e.touch()
			e.down.Add(int64(n))
			if sent += int64(n); sent != d.length {
				_ = e.control.Flush() // the end is flushed by the server
			}
		}
		switch {
		case e.ctx.Err() != nil:
			return e.endedBy(refuse(RuleClient, "the agent left"))
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
			return refuse(RuleAnswer, "%s answered in broken gzip", e.route)
		case err != nil:
			return e.endedBy(refuse(RuleAnswer, "%s broke off", e.route))
		}
	}
}

// endedBy prefers the reason from inside.
func (e *exchange) endedBy(otherwise *Refusal) *Refusal {
	if cause := e.cause(); cause != nil {
		return cause
	}
	return otherwise
}
