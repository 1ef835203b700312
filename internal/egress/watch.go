package egress

import (
	"io"
	"net/http"
	"net/url"

	"bottle.internal/internal/canary"
	"bottle.internal/internal/needle"
)

// watch looks for what the agent must not send: canaries anywhere, and the placeholder
// where it is not the stand-in of the route's credential.
type watch struct {
	canaries    *canary.Finder
	placeholder *needle.Set
	cut         bool
}

func newWatch(config Config) watch {
	return watch{
		canaries:    canary.NewFinder(config.Canaries),
		placeholder: needle.NewSet(map[int][]string{0: needle.Spellings(config.Placeholder)}),
		cut:         config.OnCanary != CanaryWarn,
	}
}

// sighting is one find.
type sighting struct {
	event       string
	what        string // never the text itself
	where       string
	fingerprint string // of a canary
	block       bool
}

func (w watch) canary(rt Route, fingerprint, where string) *sighting {
	// What a model's host is shown may be what the agent has read, and it may say it again.
	shown := where == inBody || where == inAnswer
	return &sighting{eventCanary, "a canary", where, fingerprint, w.cut && (!rt.Provider || !shown)}
}

func (w watch) stray(rt Route, where string) *sighting {
	return &sighting{event: eventExfiltration, what: "the placeholder", where: where, block: w.cut && !rt.Provider}
}

const (
	inBody   = "body"
	inAnswer = "answer"
)

// head judges everything before the body, also headers that are dropped later. hidden says
// that the path is not fit for the log.
func (w watch) head(rt Route, target string, header http.Header) (worst *sighting, hidden bool) {
	if w.canaries.Empty() && w.placeholder.Empty() {
		return nil, false
	}
	see := func(found *sighting) {
		if found != nil && (worst == nil || found.rank() > worst.rank()) {
			worst = found
		}
	}
	path := w.text(rt, "path", target)
	// Escapes of single letters hide a text from the other spellings.
	if plain, err := url.QueryUnescape(target); path == nil && err == nil {
		path = w.text(rt, "path", plain)
	}
	see(path)
	for name, values := range header {
		see(w.text(rt, "headers", name))
		// Credentials are dropped, and the placeholder belongs there; a canary never does.
		dropped := rt.Auth != nil && (name == rt.Auth.Header || isCredential(name))
		for _, value := range values {
			if found := w.text(rt, "headers", value); found != nil && (!dropped || found.event == eventCanary) {
				see(found)
			}
		}
	}
	return worst, path != nil
}

// rank orders what is found in one head: only the worst of it is told.
func (f *sighting) rank() (rank int) {
	if f.event == eventCanary {
		rank += 2
	}
	if f.block {
		rank++
	}
	return rank
}

func (w watch) text(rt Route, where, text string) *sighting {
	if fingerprint, found := w.canaries.Find(text); found {
		return w.canary(rt, fingerprint, where)
	}
	if _, found := w.placeholder.Find(text); found {
		return w.stray(rt, where)
	}
	return nil
}

// stream judges the body of one request.
type stream struct {
	watch       watch
	route       Route
	canaries    *canary.Stream
	placeholder needle.Scanner
	warned      [2]bool
}

func (w watch) stream(rt Route) *stream {
	return &stream{watch: w, route: rt, canaries: w.canaries.Stream(), placeholder: needle.Scanner{Set: w.placeholder}}
}

// piece judges the next bytes; each kind of warning comes once.
func (s *stream) piece(data []byte) []*sighting {
	var all []*sighting
	if !s.warned[0] {
		if fingerprint, found := s.canaries.Scan(data); found {
			all = append(all, s.watch.canary(s.route, fingerprint, inBody))
			s.warned[0] = true
		}
	}
	if !s.warned[1] {
		if _, found := s.placeholder.Scan(data); found {
			all = append(all, s.watch.stray(s.route, inBody))
			s.warned[1] = true
		}
	}
	return all
}

// answerHead judges the head of an answer, or its trailers: a canary that comes back went
// out on a way that nobody saw.
func (w watch) answerHead(rt Route, header http.Header) *sighting {
	if w.canaries.Empty() {
		return nil
	}
	for name, values := range header {
		if fingerprint, found := w.canaries.Find(append([]string{name}, values...)...); found {
			return w.canary(rt, fingerprint, inAnswer)
		}
	}
	return nil
}

// answer passes the body of an answer on and reports the first canary in it; report's error
// ends it before the agent gets that piece.
type answer struct {
	source   io.Reader
	canaries *canary.Stream
	report   func(fingerprint string) error
	done     bool
}

// Read implements [io.Reader].
func (a *answer) Read(p []byte) (int, error) {
	n, err := a.source.Read(p)
	if a.done {
		return n, err
	}
	fingerprint, found := a.canaries.Scan(p[:n])
	if !found {
		return n, err
	}
	a.done = true
	if refused := a.report(fingerprint); refused != nil {
		return 0, refused
	}
	return n, err
}

// watchAnswer reads along with an answer that can be read.
func (s *Server) watchAnswer(e *exchange, body io.Reader) io.Reader {
	watch := e.snap.watch
	if watch.canaries.Empty() {
		return body
	}
	return &answer{source: body, canaries: watch.canaries.Stream(), report: func(fingerprint string) error {
		found := watch.canary(e.route.Route, fingerprint, inAnswer)
		s.logSighting(e, found)
		if !found.block {
			return nil
		}
		refused := found.refusal(e.route.Route)
		e.cancel(refused)
		return refused
	}}
}
