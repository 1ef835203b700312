package proposal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/forge"
	"bottle.internal/internal/plan"
)

const (
	modePlain  = "plain"
	modeRouted = "routed"
)

// CredentialError means that the route carries a credential, which a plain approval never
// widens.
type CredentialError struct {
	Host string
	Uses string // the credential's source, such as env:NAME
}

func (e *CredentialError) Error() string {
	return fmt.Sprintf("%s USES %s: the approval must name the host once more", e.Host, e.Uses)
}

// Effect is what an approval does to the one route that it is about.
type Effect struct {
	Before *plan.Route // nil: the route is new
	After  plan.Route
}

// Apply returns p with exactly one route added or widened, and leaves p as it was. A route is
// methods times paths, so widening by both admits their combinations: Effect.After says all
// of it. A route with a credential is widened only if withCredential is its host.
func Apply(p plan.Plan, allow ask.Allow, withCredential string) (plan.Plan, Effect, error) {
	next := p
	next.Firewall.Hosts, next.Egress = slices.Clone(p.Firewall.Hosts), slices.Clone(p.Egress)
	i := slices.IndexFunc(p.Firewall.Hosts, func(h plan.Host) bool { return h.Host == allow.Host && h.Port == allow.Port })
	if i < 0 {
		return addRoute(next, allow)
	}
	at := findRoute(p, allow.Host, allow.Port)
	if host := p.Firewall.Hosts[i]; host.Mode != modeRouted || at < 0 {
		return p, Effect{}, fmt.Errorf("%s:%d is a %s %s route already: it has no methods and paths to widen", host.Host, host.Port, host.Mode, host.Scheme)
	}
	before := p.Egress[at]
	if before.Auth != nil && withCredential != before.Host {
		return p, Effect{}, &CredentialError{Host: before.Host, Uses: before.Auth.String()}
	}
	after := before
	after.Methods = canonicalUnion(before.Methods, allow.Methods, ask.Methods())
	after.Paths = unionPaths(before.Paths, allow.Paths)
	if err := checkForge(p, after); err != nil {
		return p, Effect{}, err
	}
	next.Egress[at] = after
	return next, Effect{Before: &before, After: after}, nil
}

func addRoute(next plan.Plan, allow ask.Allow) (plan.Plan, Effect, error) {
	// The bottle's own test upstreams have private addresses; nothing else may.
	private := slices.Contains(next.Echo, allow.Host)
	for _, other := range next.Firewall.Hosts {
		if other.Host == allow.Host && (other.Private != private || len(other.AllowPrivate) > 0) {
			return next, Effect{}, fmt.Errorf("%s:%d may have private addresses: a second port of it belongs in the manifest", other.Host, other.Port)
		}
	}
	route := plan.Route{
		Host: allow.Host, Port: allow.Port, Methods: slices.Clone(allow.Methods), Paths: slices.Clone(allow.Paths),
		Private: private, EchoCA: private, PassHeaders: []string{},
	}
	if err := checkForge(next, route); err != nil {
		return next, Effect{}, err
	}
	next.Egress = append(next.Egress, route)
	next.Firewall.Hosts = append(next.Firewall.Hosts, plan.Host{
		Host: allow.Host, Port: allow.Port, Scheme: "https", Mode: modeRouted, Private: private,
	})
	slices.SortFunc(next.Egress, func(a, b plan.Route) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
	slices.SortFunc(next.Firewall.Hosts, func(a, b plan.Host) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
	if !slices.Contains(next.Daemons, "egress") {
		next.Daemons = slices.Insert(slices.Clone(next.Daemons), min(1, len(next.Daemons)), "egress")
	}
	return next, Effect{After: route}, nil
}

// Covers reports whether a plan allows all of what is asked for.
func Covers(p plan.Plan, allow ask.Allow) bool {
	i := slices.IndexFunc(p.Firewall.Hosts, func(h plan.Host) bool { return h.Host == allow.Host && h.Port == allow.Port })
	if i < 0 {
		return false
	}
	host := p.Firewall.Hosts[i]
	if host.Mode == modePlain {
		return host.Scheme == "https"
	}
	at := findRoute(p, allow.Host, allow.Port)
	if at < 0 {
		return false
	}
	route := p.Egress[at]
	return !slices.ContainsFunc(allow.Methods, func(m string) bool { return !slices.Contains(route.Methods, m) }) &&
		!slices.ContainsFunc(allow.Paths, func(path string) bool {
			return !slices.ContainsFunc(route.Paths, func(prefix string) bool { return covers(prefix, path) })
		})
}

// covers matches a prefix at the border of a segment.
func covers(prefix, path string) bool {
	return path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
}

func findRoute(p plan.Plan, host string, port int) int {
	return slices.IndexFunc(p.Egress, func(r plan.Route) bool { return r.Host == host && r.Port == port })
}

// canonicalUnion is both lists in the order of known; what is not known stays in front.
func canonicalUnion(a, b, known []string) []string {
	var out []string
	for _, item := range a {
		if !slices.Contains(known, item) {
			out = append(out, item)
		}
	}
	for _, item := range known {
		if slices.Contains(a, item) || slices.Contains(b, item) {
			out = append(out, item)
		}
	}
	return out
}

// unionPaths leaves out what a shorter prefix covers.
func unionPaths(a, b []string) []string {
	all := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(a), b...))))
	return slices.DeleteFunc(slices.Clone(all), func(path string) bool {
		return slices.ContainsFunc(all, func(other string) bool { return other != path && covers(other, path) })
	})
}

// checkForge keeps approvals from opening a way around the git gate, as the manifest does.
func checkForge(p plan.Plan, route plan.Route) error {
	readsOnly := !slices.ContainsFunc(route.Methods, func(m string) bool { return m != "GET" && m != "HEAD" })
	upstreams := make([]string, 0, len(p.Git.Remotes))
	for _, remote := range p.Git.Remotes {
		upstreams = append(upstreams, remote.Host)
	}
	if len(upstreams) == 0 || readsOnly || route.BypassesGitGate || !forge.Is(route.Host, upstreams) {
		return nil
	}
	return fmt.Errorf("%s can change repositories past the git gate: only the manifest can allow to write there (bypasses_git_gate)", route.Host)
}
