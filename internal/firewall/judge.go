package firewall

import (
	"net/http"
	"slices"

	"bottle.internal/internal/firewall/requestscan"
	"bottle.internal/internal/secret"
)

// Request is what a request says before anything of it is sent on.
type Request struct {
	Method  string
	Target  string // as [Decide] takes it
	Header  http.Header
	HasBody bool
}

// Judge is [Decide] and every other rule that needs neither the network nor what went
// before, such as budgets. The server and whoever explains it cannot differ.
func Judge(policy Policy, scanner *requestscan.Scanner, r Request) Decision {
	return Decide(policy, r.Method, r.Target).judge(scanner, r)
}

func (d Decision) judge(scanner *requestscan.Scanner, r Request) Decision {
	found, isSecret := d.secretIn(scanner, r)
	switch {
	case isSecret:
		return found
	case !d.Allow || !r.HasBody:
		return d
	case d.Rule == RuleHealth:
		return d.refuse(RuleForm, "GET /health takes no body")
	}
	return d.refuse(RuleBody, "%s: a body is not allowed on CONNECT and plain requests", d.Route)
}

// maxSearched bounds the part of a target that is searched. A longer one is refused, and
// less than this of it is logged.
const maxSearched = 2 * maxURL

// secretIn searches all that can be read of a request, refused ones too: they are logged.
func (d Decision) secretIn(scanner *requestscan.Scanner, r Request) (Decision, bool) {
	target := r.Target[:min(len(r.Target), maxSearched)]
	rule, err := scanner.Find(requestscan.Views(target)...)
	where := "the target"
	if err == nil && rule == "" {
		where = "a header"
		lines := []string{r.Method}
		for name, values := range r.Header {
			for _, value := range values {
				lines = append(lines, name+": "+value)
			}
		}
		rule, err = scanner.Find(lines...)
	}
	allowed := d.Allow
	switch {
	case err != nil:
		d = d.refuse(RuleSecret, "%v", err)
	case rule != "":
		d = d.refuse(RuleSecret, "%s holds a secret (gitleaks: %s)", where, rule)
	default:
		return d, false
	}
	d.Target.Path, d.Target.Query, d.Hint = "", "", ""
	if !allowed { // the host is the agent's word too
		d.Target.Host = secret.Redacted
	}
	return d, true
}

// Passes reports whether a plain request in clear keeps a header of the agent's. In a
// tunnel nobody sees them.
func Passes(header string) bool {
	return slices.Contains(requestHeaders(), http.CanonicalHeaderKey(header))
}

// DefaultLimits are those of the bundle.
func DefaultLimits() Limits { return Limits{}.withDefaults() }
