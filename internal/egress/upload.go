package egress

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"bottle.internal/internal/netguard"
)

// maxReplay bounds a body that is read before anything is sent: it is judged as a whole,
// and can be sent again with a new token.
const maxReplay = 64 << 10

// Defaults of the upload budgets, in bytes.
const (
	budgetPlain  = 64 << 20
	budgetAuth   = 16 << 30
	budgetBottle = 64 << 30
)

// upload is the body of a request on its way out: decoded, judged, counted.
type upload struct {
	server *Server
	e      *exchange
	source io.Reader
	stream *stream
	closed atomic.Bool
	ended  func() error // at the end of the body, for trailers
}

// newUpload refuses a body whose coding cannot be read, for what it holds could not be
// judged.
func (s *Server) newUpload(e *exchange, r *http.Request) (*upload, *Refusal) {
	u := &upload{server: s, e: e, source: r.Body, stream: e.snap.watch.stream(e.route.Route)}
	coding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header["Content-Encoding"], ",")))
	switch coding {
	case "", "identity":
	case "gzip", "x-gzip":
		u.source = &gunzip{source: r.Body}
	default:
		return nil, refuse(RuleCoding, "%s: a body with Content-Encoding %s cannot be read; send identity or gzip", e.route, coding)
	}
	return u, nil
}

// Read implements [io.Reader].
func (u *upload) Read(p []byte) (int, error) {
	if u.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := u.source.Read(p)
	u.e.touch()
	if n > 0 {
		if refused := u.judge(p[:n]); refused != nil {
			u.e.cancel(refused)
			return 0, refused
		}
	}
	switch {
	case errors.Is(err, io.EOF) && u.ended != nil:
		if refused := u.ended(); refused != nil {
			return 0, refused
		}
	case err != nil && !errors.Is(err, io.EOF) && !u.closed.Load():
		u.e.cancel(refuse(RuleClient, "%s: the body of the request could not be read: %s", u.e.route, netguard.Briefly(err, maxWhy)))
	}
	return n, err
}

func (u *upload) judge(piece []byte) *Refusal {
	for _, found := range u.stream.piece(piece) {
		u.server.logSighting(u.e, found)
		if found.block {
			return found.refusal(u.e.route.Route)
		}
	}
	u.e.up.Add(int64(len(piece)))
	return u.server.spend(u.e.route, int64(len(piece)))
}

// Close implements [io.Closer]. It leaves the body to net/http, which would wait here for
// what is left of it, before the answer is out.
func (u *upload) Close() error {
	u.closed.Store(true)
	return nil
}

func (f *sighting) refusal(rt Route) *Refusal {
	if f.where == inAnswer {
		return refuse(RuleCanary, "%s: the answer carries %s", rt, f.what)
	}
	return refuse(RuleCanary, "%s: the request carries %s in its %s", rt, f.what, f.where)
}

// spend takes bytes off the budgets.
func (s *Server) spend(rt *route, n int64) *Refusal {
	limit, all := rt.UploadLimit(), s.snapshot.Load().config.UploadBudget
	if all == 0 {
		all = budgetBottle
	}
	if rt.spent.Add(n) > limit {
		return refuse(RuleBudget, "%s has sent the %d bytes that this route may send", rt, limit)
	}
	if s.spentAll.Add(n) > all {
		return refuse(RuleBudget, "%s: the routes have sent the %d bytes that this bottle may send", rt, all)
	}
	return nil
}

// attach gives the request its body. A small one of known length is read first.
func (u *upload) attach(out, r *http.Request) error {
	decoded := u.source != io.Reader(r.Body)
	if decoded || r.ContentLength < 0 || r.ContentLength > maxReplay || len(r.Trailer) > 0 {
		out.Body, out.ContentLength = u, r.ContentLength
		if decoded {
			out.ContentLength = -1
		}
		return nil
	}
	data := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(u, data); err != nil {
		return err
	}
	out.Header.Del("Expect") // it was answered by reading
	out.ContentLength = r.ContentLength
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	out.Body, _ = out.GetBody()
	return nil
}

// gunzip decodes a body. What is sent on is what was decoded and judged, so that no other
// decoder can see something else in it.
type gunzip struct {
	source io.Reader
	reader *gzip.Reader
}

// Read implements [io.Reader].
func (g *gunzip) Read(p []byte) (int, error) {
	if g.reader == nil {
		reader, err := gzip.NewReader(g.source)
		if err != nil {
			return 0, fmt.Errorf("reading gzip: %w", err)
		}
		g.reader = reader
	}
	return g.reader.Read(p)
}
