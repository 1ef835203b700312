package manifest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// readBaseURL reads where the model's API is. That it is a route of the bottle is the plan's
// to check: an agent may be read before its bottle.
func readBaseURL(t *table) string {
	text, ok := t.text("base_url")
	if !ok {
		return ""
	}
	if problem := checkBaseURL(text); problem != "" {
		t.bad("base_url", "%s", problem)
		return ""
	}
	text = strings.TrimRight(text, "/")
	if u, err := url.Parse(text); err == nil && u.Path != "" {
		checkPath(t.at("base_url"), u.EscapedPath())
	}
	return text
}

func checkBaseURL(text string) string {
	const example = `write it as "https://gateway.example.com/v1"`
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		return fmt.Sprintf("%q is no https URL; %s", text, example)
	case u.User != nil:
		return "it holds a user or a password, and the agent reads it; give the credential to the route's auth"
	case u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(text, "?#"):
		return fmt.Sprintf("%q has more than a host and a path; %s", text, example)
	}
	if _, _, problem := parseHost(u.Host, httpsPort); problem != "" {
		return problem
	}
	return ""
}

const httpsPort = 443

// checkModel: the echo name that plays a model is worth something only where its credential
// is asked for.
func checkModel(raw *rawBottle, b Bottle) {
	if b.Model == "" {
		return
	}
	at := raw.modelAt
	if !raw.declared["model"] {
		at = raw.at // it is inherited; this bottle's own lists make it a problem
	}
	if !slices.Contains(b.Echo, b.Model) {
		at.bad("%q is not one of the bottle's echo names; only those can play a model", b.Model)
		return
	}
	if !slices.ContainsFunc(b.Routes, func(r Route) bool {
		return r.Host == b.Model && r.Port == httpsPort && r.Auth != nil && slices.Contains(r.Methods, "POST")
	}) {
		at.bad(`%s plays a model, so it needs a route with methods = ["GET", "POST"], paths = ["/v1/"] and auth`, b.Model)
	}
}

// SplitHost takes a checked HOST[:PORT] of an https URL apart, as a route's host is.
func SplitHost(text string) (host string, port int) {
	host, port, _ = parseHost(text, httpsPort)
	return host, port
}
