package egress

import (
	"fmt"
	"net/http"
	"net/url"

	"bottle.internal/internal/egress/needle"
)

// watch looks for what the agent must not send: canaries anywhere, and the placeholder
// where it is not the stand-in of the route's credential.
type watch struct {
	canaries    *needle.Set // ids are their places in the configuration
	placeholder *needle.Set
	cut         bool
}

func newWatch(config Config) watch {
	canaries := map[int][]string{}
	for i, text := range config.Canaries {
		canaries[i] = needle.Spellings(text)
	}
	return watch{
		canaries:    needle.NewSet(canaries),
		placeholder: needle.NewSet(map[int][]string{0: needle.Spellings(config.Placeholder)}),
		cut:         config.OnCanary != CanaryWarn,
	}
}

// sighting is one find.
type sighting struct {
	event string
	what  string // never the text itself
	where string
	block bool
}

func (w watch) canary(rt Route, id int, where string) *sighting {
	// What a model's host is shown may be what the agent has read.
	block := w.cut && (!rt.Provider || where != inBody)
	return &sighting{eventCanary, fmt.Sprintf("canary %d", id), where, block}
}

func (w watch) stray(rt Route, where string) *sighting {
	return &sighting{eventExfiltration, "the placeholder", where, w.cut && !rt.Provider}
}

const inBody = "body"

// head judges everything before the body, also headers that are dropped later.
func (w watch) head(rt Route, target string, header http.Header) *sighting {
	if w.canaries.Empty() && w.placeholder.Empty() {
		return nil
	}
	var worst *sighting
	see := func(where, text string) {
		if found := w.text(rt, where, text); found != nil && (worst == nil || !worst.block) {
			worst = found
		}
	}
	see("path", target)
	// Escapes of single letters hide a text from the other spellings.
	if plain, err := url.QueryUnescape(target); err == nil && plain != target {
		see("path", plain)
	}
	for name, values := range header {
		see("headers", name)
		for _, value := range values {
			if rt.Auth != nil && (name == rt.Auth.Header || isCredential(name)) {
				continue // dropped; the placeholder belongs here
			}
			see("headers", value)
		}
	}
	return worst
}

func (w watch) text(rt Route, where, text string) *sighting {
	if id, found := w.canaries.Find(text); found {
		return w.canary(rt, id, where)
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
	canaries    needle.Scanner
	placeholder needle.Scanner
	warned      [2]bool
}

func (w watch) stream(rt Route) *stream {
	return &stream{watch: w, route: rt, canaries: needle.Scanner{Set: w.canaries}, placeholder: needle.Scanner{Set: w.placeholder}}
}

// piece judges the next bytes; each kind of warning comes once.
func (s *stream) piece(data []byte) []*sighting {
	var all []*sighting
	if !s.warned[0] {
		if id, found := s.canaries.Scan(data); found {
			all = append(all, s.watch.canary(s.route, id, inBody))
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
