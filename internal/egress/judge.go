package egress

import (
	"net/http"
	"slices"
	"strconv"
)

// Judge is [Decide] and every other rule on the head of a request that needs neither the
// network nor what went before, such as budgets; nil allows. The server and whoever explains
// it cannot differ.
func Judge(config Config, route Route, head Head, header http.Header) *Refusal {
	return newWatch(config).judge(route, head, header).refused
}

// FindRoute returns the route of a host and a port, as the server finds it.
func (c Config) FindRoute(host string, port uint16) (Route, bool) {
	i := slices.IndexFunc(c.Routes, func(r Route) bool { return r.Host == host && r.Port == port })
	if i < 0 {
		return Route{}, false
	}
	return c.Routes[i], true
}

// verdict is the answer to the head of a request.
type verdict struct {
	found   *sighting // nil: nothing that should not be there
	hidden  bool      // the path is not fit for the log
	refused *Refusal
}

func (w watch) judge(route Route, head Head, header http.Header) verdict {
	var v verdict
	v.found, v.hidden = w.head(route, head.Target, header)
	// HTTP/2 lets a Host stand beside :authority.
	for _, host := range header["Host"] {
		if v.refused = checkAuthority(route, host); v.refused != nil {
			return v
		}
	}
	v.refused = Decide(route, head)
	switch {
	case v.hidden && v.refused != nil:
		v.refused = refuse(v.refused.Rule, "%s: refused, and the path carries %s", route, v.found.what)
	case v.refused == nil && v.found != nil && v.found.block:
		v.refused = v.found.refusal(route)
	}
	return v
}

// UploadLimit is how many bytes the route may send in the life of the daemon.
func (r Route) UploadLimit() int64 {
	switch {
	case r.UploadBudget != 0:
		return r.UploadBudget
	case r.Auth != nil:
		return budgetAuth
	}
	return budgetPlain
}

// Header says what becomes of a header of the agent's on this route.
func (r Route) Header(name string) string {
	name = http.CanonicalHeaderKey(name)
	switch {
	case r.Auth != nil && name == r.Auth.Header:
		return "replaced by the credential of the route"
	case newHeaderRule(r).admits(name):
		return "passed on"
	case isTransport(name):
		return "not passed on: egress makes its own"
	}
	if err := checkPassHeader(name); err != nil {
		return "dropped, on every route: " + err.Error()
	}
	return "dropped; it passes with pass_headers = [" + strconv.Quote(name) + "]"
}
