package why

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/egress"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/forge"
	"bottle.internal/internal/nearest"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/urlpart/hostname"
)

// remedy says what would have to be written or typed, if anything would help.
func (f Facts) remedy(answer *Answer, v verdict, r Request) {
	rule := v.rule()
	if v.layer() == "egress" {
		f.widenRoute(answer, v, r)
		return
	}
	switch {
	case rule == string(firewall.RuleAllowlist), rule == string(firewall.RulePort):
		answer.note(f.missing(v))
		f.newRoute(answer, v, r)
	case rule == string(firewall.RuleLiteral):
		answer.note("no manifest admits an address: name the host")
	case rule == string(firewall.RuleScheme) && v.host != nil:
		answer.note(fmt.Sprintf("a port has one scheme; the route is %s", at(v.host.At, "one that was approved")))
	case rule == string(firewall.RuleMethod):
		answer.note("a route with scheme = \"http\" takes GET and HEAD only, and no manifest changes that: use https")
	case rule == string(firewall.RuleSpelling):
		respell(answer, v, r)
	case unliftable(rule):
		answer.note("no manifest changes that")
	}
}

// respell suggests the one spelling of a host, where there is one.
func respell(answer *Answer, v verdict, r Request) {
	authority := v.authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
		answer.note("many clients make an Authorization header of the user info instead of sending it; egress drops that")
	}
	host, port, _ := strings.Cut(authority, ":")
	host = strings.TrimSuffix(host, ".")
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = ascii
	}
	if port != "" {
		port = ":" + port
	}
	if canonical, err := hostname.Canonical(host); err != nil || canonical+port == v.authority || port != "" && strings.Trim(port, ":0123456789") != "" {
		answer.note("no manifest changes that: it can be read in two ways")
		return
	}
	method := "GET"
	if slices.Contains(ask.Methods(), r.Method) {
		method = r.Method
	}
	answer.note("no manifest changes that: it can be read in two ways; the plain spelling is another question")
	answer.ToAllow = append(answer.ToAllow, fmt.Sprintf("bottle why %s %s://%s%s/", method, v.scheme, host, port))
}

// missing says that there is no route, and which one may have been meant.
func (f Facts) missing(v verdict) string {
	host := v.front.Target.Host
	var names []string
	for _, h := range f.Plan.Firewall.Hosts {
		names = append(names, h.Host)
	}
	text := fmt.Sprintf("no route for %s:%d: the list of %s", host, v.front.Target.Port, f.Plan.Firewall.Bottle)
	switch len(names) {
	case 0:
		return text + " is empty"
	case 1:
		text += " has 1 host"
	default:
		text += fmt.Sprintf(" has %d hosts", len(names))
	}
	near := nearest.Of(host, names)
	if i := slices.IndexFunc(names, func(name string) bool {
		return name == host || strings.HasSuffix(host, "."+name) || strings.HasSuffix(name, "."+host)
	}); i >= 0 {
		near = names[i]
	}
	i := slices.Index(names, near)
	if i < 0 {
		return text
	}
	found := f.Plan.Firewall.Hosts[i]
	text += fmt.Sprintf("; closest: %s:%d", found.Host, found.Port)
	if found.At != "" {
		text += " (" + found.At + ")"
	}
	return text
}

// file is where the operator's own manifest is: a bottle is never taken from a repository.
func (f Facts) file() string {
	place := f.Plan.At["bottle"]
	if i := strings.LastIndexByte(place, ':'); i > 0 {
		return place[:i]
	}
	return "your own manifest"
}

func at(place, otherwise string) string {
	if place == "" {
		return otherwise
	}
	return "in " + place
}

// newRoute writes the smallest route that would take the request.
func (f Facts) newRoute(answer *Answer, v verdict, r Request) {
	host, port := v.front.Target.Host, int(v.front.Target.Port)
	if hostname.IsIP(host) {
		answer.note("no manifest admits an address: name the host")
		return
	}
	name := host
	if usual := map[firewall.Scheme]int{firewall.HTTPS: 443, firewall.HTTP: 80}[v.front.Target.Scheme]; port != usual {
		name += ":" + strconv.Itoa(port)
	}
	lines := []string{
		fmt.Sprintf("in %s, write:", f.file()),
		fmt.Sprintf("  [[bottles.%s.egress.routes]]", f.Plan.Firewall.Bottle),
		fmt.Sprintf("  host = %q", name),
	}
	if v.front.Target.Scheme == firewall.HTTP {
		lines = append(lines, `  scheme = "http"`)
	} else {
		if !slices.Contains(ask.Methods(), r.Method) {
			answer.note(fmt.Sprintf("no route takes the method %s", safe(r.Method)))
			return
		}
		lines = append(lines, fmt.Sprintf("  methods = [%q]", r.Method), fmt.Sprintf("  paths = [%q]", prefixOf(v.path)))
		if v.upgrade {
			lines = append(lines, "  websocket = true")
		}
		lines = append(lines, f.forgeLine(host, r.Method)...)
	}
	answer.ToAllow = append(answer.ToAllow, lines...)
	f.throughSupervise(answer, v, r)
}

// forgeLine is what the manifest demands beside a git gate.
func (f Facts) forgeLine(host, method string) []string {
	var upstreams []string
	for _, remote := range f.Plan.Git.Remotes {
		upstreams = append(upstreams, remote.Host)
	}
	if len(upstreams) == 0 || method == "GET" || method == "HEAD" || !forge.Is(host, upstreams) {
		return nil
	}
	return []string{"  bypasses_git_gate = true # it can change repositories, past the scan of pushes"}
}

// prefixOf is the path as a route may name it, or the longest part above it.
func prefixOf(path string) string {
	path, _, _ = strings.Cut(path, "?")
	for path != "/" && ask.CheckPath(path) != nil {
		path = path[:max(1, strings.LastIndexByte(strings.TrimSuffix(path, "/"), '/'))]
	}
	return path
}

// widenRoute says which line of a route would have to be another one.
func (f Facts) widenRoute(answer *Answer, v verdict, r Request) {
	route, rule := v.route, egress.Rule(v.rule())
	write := func(lines ...string) {
		if route.At == "" {
			answer.note("the route was approved while the bottle ran; it is in no manifest")
			return
		}
		answer.ToAllow = append(append(answer.ToAllow, fmt.Sprintf("in %s, in the route of %s, write:", route.At, route.Host)), lines...)
		answer.ToAllow = append(answer.ToAllow, f.forgeLineOf(*route, lines)...)
	}
	switch rule {
	case egress.RulePaths:
		write("  paths = " + list(append(slices.Clone(route.Paths), prefixOf(v.path))))
		f.throughSupervise(answer, v, r)
	case egress.RuleMethod:
		if !slices.Contains(ask.Methods(), r.Method) {
			answer.note("no manifest changes that")
			return
		}
		write("  methods = " + list(append(slices.Clone(route.Methods), r.Method)))
		f.throughSupervise(answer, v, r)
	case egress.RuleMint:
		write("  allow_mint = true # the agent would hold a credential that bottle does not know")
	case egress.RuleUpgrade:
		write("  websocket = true")
	case egress.RuleGit:
		answer.note("push over ssh: a remote in git.remotes goes through the git gate")
	case egress.RuleQuery:
		answer.note("no manifest changes that; a credential is added by the auth of a route")
	default:
		answer.note("no manifest changes that")
	}
}

// forgeLineOf is forgeLine for a route that gets a method.
func (f Facts) forgeLineOf(route plan.Route, lines []string) []string {
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		if !route.BypassesGitGate && !slices.Contains(route.Methods, method) && strings.Contains(lines[0], strconv.Quote(method)) {
			return f.forgeLine(route.Host, method)
		}
	}
	return nil
}

func list(items []string) string {
	quoted := make([]string, 0, len(items))
	for _, item := range items {
		quoted = append(quoted, strconv.Quote(item))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// throughSupervise tells how the agent could get it without a new start.
func (f Facts) throughSupervise(answer *Answer, v verdict, r Request) {
	if !f.Plan.Supervise || v.front.Target.Scheme != firewall.HTTPS {
		return
	}
	want, err := ask.Allow{
		Host: v.front.Target.Host, Port: int(v.front.Target.Port), Methods: []string{r.Method}, Paths: []string{prefixOf(v.path)}, Justification: "-",
	}.Canonical(f.Plan.Echo)
	if err != nil {
		return
	}
	next, _, err := proposal.Apply(f.Plan, want, want.Host)
	if err != nil || f.Plan.Firewall.Engine == "pipelock" && len(next.Firewall.Hosts) > len(f.Plan.Firewall.Hosts) {
		return // which takes up new hosts at the next start only
	}
	credential := ""
	if v.route != nil && v.route.Auth != nil {
		credential = " --with-credential " + want.Host
	}
	for _, waiting := range f.Waiting {
		if next, _, err := proposal.Apply(f.Plan, waiting.Allow, waiting.Allow.Host); err == nil && proposal.Covers(next, want) {
			answer.ToAllow = append(answer.ToAllow, fmt.Sprintf("or answer the agent, which asks for it: bottle supervise approve %.12s%s", waiting.ID, credential))
			return
		}
	}
	answer.ToAllow = append(answer.ToAllow, "or let the agent ask for it while it runs (egress-allow); you answer with: bottle supervise watch")
}
