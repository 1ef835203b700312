package egress

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"bottle.internal/internal/printable"
	"bottle.internal/internal/urlpart/hostname"
	"bottle.internal/internal/urlpart/urlpath"
	"bottle.internal/internal/urlpart/urlquery"
)

// Rule names the rule that decided, for logs and tests.
type Rule string

// The rules, in the order in which they are looked at. Those after RuleBody need the
// stream or the upstream.
const (
	RuleRoute   Rule = "route"   // allowed
	RuleSNI     Rule = "sni"     // a handshake that names no routed host
	RuleHost    Rule = "host"    // Host or :authority is not the name of the handshake
	RuleForm    Rule = "form"    // a request line of another form than /path
	RulePath    Rule = "path"    // a path that can be read in two ways
	RuleLength  Rule = "length"  // a URL that is too long
	RuleGit     Rule = "git"     // a git push or LFS: that is the git gate's
	RulePaths   Rule = "paths"   // a path that is not in paths
	RuleMethod  Rule = "method"  // a method that is not in methods
	RuleQuery   Rule = "query"   // a credential in the query
	RuleMint    Rule = "mint"    // a request that would make a new credential
	RuleUpgrade Rule = "upgrade" // an upgrade that is not a declared WebSocket
	RuleBody    Rule = "body"    // a body where none is allowed

	RuleCoding  Rule = "coding"  // a body or an answer in a coding that cannot be read
	RuleCanary  Rule = "canary"  // a canary or the placeholder where it does not belong
	RuleBudget  Rule = "budget"  // the route has sent all that it may
	RuleLimit   Rule = "limit"   // too many at once
	RuleToken   Rule = "token"   // the route's credential is missing
	RuleAddress Rule = "address" // the host resolves to a refused address
	RuleResolve Rule = "resolve" // the host has no address
	RuleDial    Rule = "dial"    // nobody answers there
	RuleTLS     Rule = "tls"     // the upstream's certificate is not the host's
	RuleAnswer  Rule = "answer"  // the upstream broke off or answered out of turn
	RuleIdle    Rule = "idle"    // nothing moved for too long
	RuleRevoked Rule = "revoked" // allowed once, not by the present configuration
	RuleClient  Rule = "client"  // the agent left or broke off
)

// maxPlainURL bounds a URL on a route without a credential: it is the easiest way to
// carry data out.
const maxPlainURL = 2 << 10

// maxURL bounds all others.
const maxURL = 16 << 10

// Refusal is the answer to a request that is not sent, or not sent on.
type Refusal struct {
	Rule   Rule
	Reason string // one line of printable ASCII
}

func (r *Refusal) Error() string { return r.Reason }

func refuse(rule Rule, format string, args ...any) *Refusal {
	return &Refusal{rule, printable.ASCII(fmt.Sprintf(format, args...), 300)}
}

// body is what the agent reads: plain text, printable ASCII.
func (r *Refusal) body() []byte { return []byte("bottle: " + r.Reason + "\n") }

// Status is the HTTP status that goes with the refusal.
func (r *Refusal) Status() int {
	switch r.Rule {
	case RuleHost, RuleSNI:
		return http.StatusMisdirectedRequest
	case RuleForm, RulePath, RuleClient:
		return http.StatusBadRequest
	case RuleLength:
		return http.StatusRequestURITooLong
	case RuleCoding:
		return http.StatusUnsupportedMediaType
	case RuleLimit:
		return http.StatusServiceUnavailable
	case RuleToken, RuleResolve, RuleDial, RuleAddress, RuleTLS, RuleAnswer:
		return http.StatusBadGateway
	case RuleIdle:
		return http.StatusGatewayTimeout
	}
	return http.StatusForbidden
}

// Head is what a request says about itself before its body.
type Head struct {
	Method    string
	Target    string // as it was sent: path and query
	Authority string // Host or :authority
	Upgrade   bool
	HasBody   bool
}

// split cuts the target at its query.
func (h Head) split() (path, query string, asked bool) { return strings.Cut(h.Target, "?") }

// Decide judges a request to a route. It is pure; nil allows.
func Decide(route Route, head Head) *Refusal {
	if refused := checkAuthority(route, head.Authority); refused != nil {
		return refused
	}
	path, query, _ := head.split()
	switch {
	case slices.Contains([]string{"CONNECT", "TRACE", "TRACK"}, strings.ToUpper(head.Method)):
		return refuse(RuleMethod, "%s: %s is never allowed", route, strings.ToUpper(head.Method))
	case !strings.HasPrefix(head.Target, "/"):
		return refuse(RuleForm, "%s: the request line has to hold a path, no URL and no *", route)
	case strings.Contains(head.Target, "#"):
		return refuse(RuleForm, "%s: a fragment is not sent to a server", route)
	}
	if err := urlpath.Check(path); err != nil {
		return refuse(RulePath, "%s: %v", route, err)
	}
	if !printable.IsASCII(query) || strings.ContainsAny(query, ` "<>`) {
		return refuse(RulePath, "%s: the query holds a character that has to be escaped", route)
	}
	limit := maxURL
	if route.Auth == nil {
		limit = maxPlainURL
	}
	if len(head.Target) > limit {
		return refuse(RuleLength, "%s: the URL has %d bytes, at most %d are allowed", route, len(head.Target), limit)
	}
	return decideRules(route, head, path, query)
}

func decideRules(route Route, head Head, path, query string) *Refusal {
	plain, err := url.PathUnescape(path)
	if err != nil { // cannot be after urlpath.Check
		return refuse(RulePath, "%s: the path cannot be read", route)
	}
	plain = strings.ToLower(plain)
	name, hasCredential := urlquery.Credential(query)
	switch {
	case isGitPush(plain, query):
		return refuse(RuleGit, "%s: git pushes and LFS go through the git gate, not through HTTPS", route)
	case !slices.ContainsFunc(route.Paths, func(prefix string) bool { return under(path, prefix) }):
		return refuse(RulePaths, "%s: %s is not under the paths of this route: %s", route, path, strings.Join(route.Paths, " "))
	case !slices.Contains(route.Methods, head.Method):
		return refuse(RuleMethod, "%s: %s is not among the methods of this route: %s", route, head.Method, strings.Join(route.Methods, " "))
	case hasCredential:
		return refuse(RuleQuery, "%s: the query carries %q, which is a credential", route, printable.ASCII(name, 40))
	case hasOverride(query):
		return refuse(RuleQuery, "%s: the query names another method", route)
	case route.Auth != nil && !route.AllowMint && mints(route.Host, head.Method, plain):
		return refuse(RuleMint, "%s: this request makes a new credential, and the route has no allow_mint", route)
	case head.Upgrade && !route.WebSocket:
		return refuse(RuleUpgrade, "%s: the connection may not be upgraded: the route has no websocket = true", route)
	case head.HasBody && route.Auth == nil && !slices.Contains([]string{"POST", "PUT", "PATCH"}, head.Method):
		return refuse(RuleBody, "%s: %s has no body on a route without a credential", route, head.Method)
	}
	return nil
}

// checkAuthority holds Host to the route, which the handshake chose. A port that is left
// out is 443.
func checkAuthority(route Route, authority string) *Refusal {
	name, digits, hasPort := strings.Cut(authority, ":")
	if !hasPort {
		digits = "443"
	}
	host, err := hostname.Canonical(name)
	if err != nil || host != route.Host || digits != strconv.Itoa(int(route.Port)) {
		return refuse(RuleHost, "%s: the request names %q instead", route, printable.ASCII(authority, 80))
	}
	return nil
}

// under matches a prefix at a segment border.
func under(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || strings.HasSuffix(prefix, "/") || rest[0] == '/')
}

// isGitPush knows the smart and the dumb road, and LFS. The path is in lower case.
func isGitPush(path, query string) bool {
	if strings.Contains(path+"/", "/git-receive-pack/") || strings.Contains(path+"/", "/info/lfs/") {
		return true
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		// What cannot be read may be read by the server.
		return strings.Contains(strings.ToLower(query), "receive-pack")
	}
	return slices.ContainsFunc(values["service"], func(service string) bool {
		return strings.Contains(strings.ToLower(service), "receive-pack")
	})
}

func hasOverride(query string) bool {
	if query == "" {
		return false
	}
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		raw, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(raw)
		if err != nil || strings.EqualFold(name, "_method") || strings.EqualFold(name, "x-http-method-override") {
			return true
		}
	}
	return false
}
