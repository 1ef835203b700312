package firewall

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"bottle.internal/internal/printable"
	"bottle.internal/internal/urlpart/hostname"
	"bottle.internal/internal/urlpart/urlpath"
)

// Rule names the rule that decided, for logs and tests.
type Rule string

// The rules. Those after RuleQuery need the network or the connection, so that only
// the server applies them.
const (
	RuleRoute     Rule = "route"     // allowed: the destination is declared
	RuleHealth    Rule = "health"    // allowed: the firewall's own answer
	RuleForm      Rule = "form"      // a request to the proxy itself
	RuleSpelling  Rule = "spelling"  // a target that can be read in two ways
	RuleLiteral   Rule = "literal"   // an address instead of a name
	RuleAllowlist Rule = "allowlist" // a host that is not declared
	RulePort      Rule = "port"      // a declared host, another port
	RuleScheme    Rule = "scheme"    // CONNECT to an http route, or the reverse
	RuleMethod    Rule = "method"    // a plain request that could carry data out
	RulePath      Rule = "path"      // a path that can be read in two ways
	RuleQuery     Rule = "query"     // a credential in a URL

	RuleBody    Rule = "body"    // a plain request with a body
	RuleAddress Rule = "address" // a host that resolves to a refused address
	RuleSNI     Rule = "sni"     // TLS to another name than CONNECT said
	RuleTLS     Rule = "tls"     // a tunnel without (readable) TLS
	RuleLimit   Rule = "limit"   // too many at once
	RuleRate    Rule = "rate"    // too many in a minute
	RuleBudget  Rule = "budget"  // too many bytes in a run
	RuleEngine  Rule = "engine"  // refused by the engine behind this one
	RuleSecret  Rule = "secret"  // a secret in what can be read
	RuleCanary  Rule = "canary"  // the bottle's fake credential there
	RuleResolve Rule = "resolve" // the name has no address
	RuleDial    Rule = "dial"    // nobody answers there
	RuleRevoked Rule = "revoked" // allowed once, not by the present policy
)

// Decision is the answer to one request.
type Decision struct {
	Allow  bool
	Rule   Rule
	Reason string // one line of printable ASCII
	Hint   string // what to do about it, one line; empty for most refusals
	Target Target // as far as it could be read
	Route  Host   // the entry that allowed it
	Where  string // of a canary: where it was
	Print  string // of a canary: its fingerprint
}

// Status is the HTTP status that goes with the decision.
func (d Decision) Status() int {
	switch d.Rule {
	case RuleRoute, RuleHealth:
		return http.StatusOK
	case RuleForm:
		return http.StatusNotFound
	case RulePath:
		return http.StatusBadRequest
	case RuleResolve, RuleDial:
		return http.StatusBadGateway
	case RuleLimit:
		return http.StatusServiceUnavailable
	case RuleRate:
		return http.StatusTooManyRequests
	}
	return http.StatusForbidden
}

// Decide judges a request line against a policy: target is "host:port" after
// CONNECT, else an absolute http URL, or a path of the firewall itself. It is pure, so
// that the server and whoever explains it cannot differ.
func Decide(policy Policy, method, target string) Decision {
	if method == http.MethodConnect {
		host, port, err := parseAuthority(target, 0)
		if err != nil {
			return misspelt(target, err)
		}
		return policy.match(Target{Scheme: HTTPS, Host: host, Port: port})
	}
	if strings.HasPrefix(target, "/") {
		return decideOwn(method, target)
	}
	url, err := parseURL(target)
	if err != nil {
		return misspelt(target, err)
	}
	decision := policy.match(url)
	if decision.Allow {
		decision = decidePlain(decision, method)
	}
	return decision
}

func decideOwn(method, target string) Decision {
	if method == http.MethodGet && target == "/health" {
		return Decision{Allow: true, Rule: RuleHealth, Reason: "the firewall's own health", Target: Target{Path: target}}
	}
	path, _, _ := strings.Cut(target, "?")
	return Decision{
		Rule: RuleForm, Target: Target{Path: path},
		Reason: "this is a proxy: only GET /health is answered here",
	}
}

// decidePlain holds requests in clear to what cannot carry a body or a credential.
func decidePlain(decision Decision, method string) Decision {
	target := decision.Target
	if method != http.MethodGet && method != http.MethodHead {
		return decision.refuse(RuleMethod, "%s is not allowed on a plain http route: only GET and HEAD are", printable.ASCII(method, 16))
	}
	if err := urlpath.Check(target.Path); err != nil {
		return decision.refuse(RulePath, "%s: %v", decision.Route, err)
	}
	if name, found := credentialIn(target.Query); found {
		return decision.refuse(RuleQuery, "%s: the query carries %q, which is a credential", decision.Route, name)
	}
	return decision
}

// match looks the target up; the nearest miss gives the reason.
func (p Policy) match(target Target) Decision {
	decision := Decision{Target: target}
	var declared []string
	for _, host := range p.Hosts {
		if !strings.EqualFold(host.Host, target.Host) {
			continue
		}
		if host.Port == target.Port && host.Scheme == target.Scheme {
			decision.Allow, decision.Rule, decision.Route = true, RuleRoute, host
			decision.Reason = host.String() + " is in the allowlist"
			return decision
		}
		if host.Port == target.Port {
			return decision.refuse(RuleScheme, "%s is declared for %s, not for %s", host, host.Scheme, target.Scheme)
		}
		declared = append(declared, fmt.Sprintf("%d (%s)", host.Port, host.Scheme))
	}
	asked := joinPort(target.Host, target.Port)
	switch {
	case len(declared) > 0:
		decision = decision.refuse(RulePort, "%s is not in the allowlist of this bottle: only port %s of that host is",
			asked, strings.Join(declared, ", "))
	case hostname.IsIP(target.Host):
		return decision.refuse(RuleLiteral, "%s is an address: only declared names are allowed", asked)
	default:
		decision = decision.refuse(RuleAllowlist, "%s is not in the allowlist of this bottle", asked)
	}
	decision.Hint = p.hint(target)
	return decision
}

// hint is the line that the agent can pass on; only a plain name is ever put into a
// text that looks like a command.
func (p Policy) hint(target Target) string {
	bottle := p.Bottle
	if bottle == "" {
		bottle = "NAME"
	}
	host := target.Host
	standard := map[Scheme]uint16{HTTPS: 443, HTTP: 80}[target.Scheme]
	if target.Port != standard {
		host = joinPort(host, target.Port)
	}
	hint := fmt.Sprintf("ask the operator to add a route to bottle.toml: [[bottles.%s.egress.routes]] host = %q", bottle, host)
	if target.Scheme == HTTP {
		hint += ` scheme = "http"`
	}
	return hint
}

func (d Decision) refuse(rule Rule, format string, args ...any) Decision {
	d.Allow, d.Rule, d.Reason = false, rule, fmt.Sprintf(format, args...)
	return d
}

func misspelt(target string, err error) Decision {
	shown := printable.ASCII(withoutSecrets(target), 80)
	d := Decision{Target: Target{Host: shown}}
	if errors.Is(err, errHTTPS) {
		return d.refuse(RuleScheme, "%v", err)
	}
	return d.refuse(RuleSpelling, `the target "%s" is refused: %v`, shown, err)
}

// withoutSecrets drops the query and user info, which must not reach reasons and logs.
func withoutSecrets(target string) string {
	if cut := strings.IndexAny(target, "?#"); cut >= 0 {
		target = target[:cut]
	}
	if cut := strings.LastIndexByte(target, '@'); cut >= 0 {
		target = "[redacted]" + target[cut:]
	}
	return target
}
