package firewall

import (
	"net/http"
	"strings"

	"bottle.internal/internal/firewall/requestscan"
	"bottle.internal/internal/secret"
)

// inAnswer is where a canary is that came back: it went out on a way that nobody saw.
const inAnswer = "answer"

// canaryIn looks for a canary in all that can be read of a request, refused ones too: a name
// that is not in the allowlist is how it would be sent out as a question for its address.
func (s *Server) canaryIn(r *http.Request, e *exchange) (Decision, bool) {
	canaries := s.canaries.Load()
	if canaries.Empty() {
		return Decision{}, false
	}
	target := e.target[:min(len(e.target), maxSearched)]
	if fingerprint, found := canaries.Find(append(requestscan.Views(target), e.method)...); found {
		return s.withCanary(e.decision, fingerprint, "target"), true
	}
	for name, values := range r.Header {
		if fingerprint, found := canaries.Find(append([]string{name}, values...)...); found {
			return s.withCanary(e.decision, fingerprint, "headers"), true
		}
	}
	return Decision{}, false
}

// canaryBack looks for one in the head of an answer.
func (s *Server) canaryBack(e *exchange, header http.Header) (Decision, bool) {
	for name, values := range header {
		if fingerprint, found := s.canaries.Load().Find(append([]string{name}, values...)...); found {
			return s.withCanary(e.decision, fingerprint, inAnswer), true
		}
	}
	return Decision{}, false
}

// withCanary refuses without a word that may hold it.
func (s *Server) withCanary(d Decision, fingerprint, where string) Decision {
	d = d.refuse(RuleCanary, "a canary in the %s", where)
	d.Where, d.Print = where, fingerprint
	d.Target.Path, d.Target.Query, d.Hint = "", "", ""
	if _, found := s.canaries.Load().Find(d.Target.Host); found {
		d.Target.Host = zone(d.Target.Host)
	}
	return d
}

// zone is the end of a name with a canary in it: who answers for it gets the labels before.
func zone(host string) string {
	labels := strings.Split(host, ".")
	end := strings.Join(labels[max(0, len(labels)-2):], ".")
	if len(labels) < 3 || len(end) > maxZone {
		return secret.Redacted
	}
	return secret.Redacted + "." + end
}

// maxZone is what is shown of a zone at most: less than any canary that is planted has.
const maxZone = 19
