package manifest

import (
	"slices"
	"strings"
)

const (
	hostExample = `host = "api.example.com"`
	emptyList   = "is an empty list; leave it out or name something"
)

// readRoute reads one [[bottles.X.egress.routes]].
func readRoute(t *table) (Route, bool) {
	route := Route{Scheme: "https", at: t.place}
	problems := len(t.src.out.list)
	if scheme, ok := t.text("scheme"); ok {
		if scheme != "https" && scheme != "http" {
			t.bad("scheme", `must be "https" or "http", not %q`, scheme)
		}
		route.Scheme = scheme
	}
	if host, ok := t.required("host", hostExample); ok {
		var problem string
		fallback := map[string]int{"https": 443, "http": 80}[route.Scheme]
		if route.Host, route.Port, problem = parseHost(host, fallback); problem != "" {
			t.bad("host", "%s", problem)
		}
		route.at = t.at("host")
	}
	route.Methods = t.texts("methods", `["GET", "POST"]`, checkMethod)
	route.Paths = t.texts("paths", `["/v1/"]`, checkPath)
	route.Auth = readAuth(t.table("auth"))
	route.WebSocket = t.flag("websocket")
	route.PassHeaders = t.texts("pass_headers", `["X-Request-Id"]`, checkPassHeader)
	route.AllowMint = t.flag("allow_mint")
	route.BypassesGitGate = t.flag("bypasses_git_gate")
	route.UpstreamCA, _ = t.text("upstream_ca")
	route.Private, route.AllowPrivate = readPrivate(t)
	checkRoute(t, route)
	t.done()
	return route, len(t.src.out.list) == problems
}

// readPrivate says which private addresses the host of a route or a remote may have.
func readPrivate(t *table) (private bool, ranges []string) {
	if address, ok := t.text("address"); ok {
		if address != "private" {
			t.bad("address", `must be "private" (any private address), not %q; name single ranges with allow_private`, address)
		}
		private = true
	}
	ranges = t.texts("allow_private", `["10.1.0.0/16"]`, func(at place, text string) (string, bool) {
		cidr, problem := parsePrivateCIDR(text)
		if problem != "" {
			at.bad("%s", problem)
		}
		return cidr, problem == ""
	})
	if v, ok := t.values["allow_private"].([]any); ok && len(v) == 0 {
		t.bad("allow_private", emptyList)
	}
	if private && t.has("allow_private") {
		t.bad("allow_private", `beside address = "private" it would have no effect; keep one of the two`)
	}
	return private, ranges
}

// checkRoute holds what the fields of one route demand of each other.
func checkRoute(t *table, route Route) {
	for _, key := range []string{"methods", "paths"} {
		if v, ok := t.values[key].([]any); ok && len(v) == 0 {
			t.bad(key, emptyList)
		}
	}
	if t.has("auth") {
		if !t.has("methods") {
			t.place.bad(`auth needs explicit methods, such as methods = ["GET", "POST"]`)
		}
		if !t.has("paths") {
			t.place.bad(`auth needs explicit paths, such as paths = ["/v1/"]; ["/"] means all of them`)
		}
	} else if t.has("allow_mint") {
		t.bad("allow_mint", "has a meaning only beside auth")
	}
	if route.Scheme == "http" {
		for _, key := range []string{"auth", "methods", "paths"} {
			if t.has(key) {
				t.bad(key, `needs https: a route with scheme = "http" is forwarded in clear by the firewall alone`)
			}
		}
	}
	routed := t.has("auth") || t.has("methods") || t.has("paths")
	for _, key := range []string{"websocket", "pass_headers", "upstream_ca"} {
		if t.has(key) && !routed {
			t.bad(key, "has no effect on a plain route, whose bytes nobody reads; give the route methods or paths")
		}
	}
}

func checkMethod(at place, method string) (string, bool) {
	known := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	switch {
	case slices.Contains(known, method):
		return method, true
	case slices.Contains(known, strings.ToUpper(method)):
		at.bad("methods are written in capitals: %q", strings.ToUpper(method))
	case slices.Contains([]string{"TRACE", "TRACK", "CONNECT"}, strings.ToUpper(method)):
		at.bad("%s is never allowed", strings.ToUpper(method))
	default:
		at.bad("unknown method %q; known: %s", method, strings.Join(known, ", "))
	}
	return "", false
}

// checkPath accepts only prefixes that are their own canonical form: egress compares
// bytes and refuses everything that it would have to clean.
func checkPath(at place, path string) (string, bool) {
	if path[0] != '/' {
		at.bad("%q must begin with a slash", path)
		return "", false
	}
	if strings.Contains(path, "//") {
		at.bad("%q contains a double slash", path)
		return "", false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			at.bad("%q contains a %q segment", path, segment)
			return "", false
		}
	}
	for i := range len(path) {
		if !isPathByte(path[i]) {
			at.bad("%q contains %q; a prefix is plain text without escapes, wildcards or a query", path, path[i:i+1])
			return "", false
		}
	}
	return path, true
}

func isPathByte(c byte) bool {
	return isBareKey(c) || strings.IndexByte("/.~!$&'()+,:=@", c) >= 0
}
