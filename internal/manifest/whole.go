package manifest

import (
	"regexp"
	"slices"

	"bottle.internal/internal/forge"
)

// checkBottle holds what the parts of a whole bottle demand of each other.
func checkBottle(raw *rawBottle, b Bottle) {
	if len(b.Remotes) > 0 {
		for _, route := range b.Routes {
			checkForge(raw, b, route)
		}
	}
	for _, route := range b.Routes {
		if !slices.Contains(b.Echo, route.Host) {
			continue
		}
		if !route.Private && route.AllowPrivate == nil {
			route.at.bad(`%s is an echo name, and those have private addresses; add address = "private"`, route.Host)
		}
		if route.UpstreamCA != "" {
			route.at.bad("%s is an echo name, and bottle makes the certificate authority of those; leave upstream_ca out", route.Host)
		}
	}
	for _, remote := range b.Remotes {
		checkEchoRemote(raw, b, remote)
	}
	checkModel(raw, b)
	if user := b.GitUser; user != nil && (user.Name == "" || user.Email == "") {
		at := raw.at
		at.field = joinField(at.field, "git") + ".user"
		at.bad("needs both name and email")
	}
}

var echoPath = regexp.MustCompile(`^/[a-z0-9][a-z0-9._-]{0,63}\.git$`)

// checkEchoRemote: the keys of a remote are left out exactly when the launch makes them.
func checkEchoRemote(raw *rawBottle, b Bottle, remote Remote) {
	head, at := remote.head, remote.at
	if !raw.declared["git.remotes"] {
		head, at = raw.at, raw.at // the remote is inherited; this bottle's echo list makes it a problem
	}
	upstream := remote.Upstream
	echo := slices.Contains(b.Echo, upstream.Host)
	for _, key := range remoteKeys() {
		switch {
		case !echo && key.of(remote) == "":
			head.bad("%s is missing: %s", key.name, key.what)
		case echo && key.of(remote) != "":
			at.bad("%s is an echo name, and bottle makes its keys at every launch; leave %s out", upstream.Host, key.name)
		}
	}
	if echo && (upstream.Port != 22 || upstream.User != "git" || !echoPath.MatchString(upstream.Path)) {
		at.bad(`%s is an echo name, and those have repositories such as "ssh://git@%s/app.git" only`, upstream.Host, upstream.Host)
	}
}

// checkForge refuses a way around the git gate: writing to a forge over HTTPS.
func checkForge(raw *rawBottle, b Bottle, route Route) {
	readsOnly := route.Methods != nil && !slices.ContainsFunc(route.Methods, func(m string) bool { return m != "GET" && m != "HEAD" })
	if !forge.Is(route.Host, upstreams(b.Remotes)) || readsOnly || route.BypassesGitGate {
		return
	}
	if route.Methods == nil && route.Paths != nil {
		return // without methods, a routed host may only be read
	}
	at := route.at
	if !raw.declared["egress.routes"] {
		at = raw.at // the route is inherited; this bottle's remotes make it a problem
	}
	at.bad("%s can change repositories over HTTPS, past the git gate of git.remotes; "+
		`allow only methods = ["GET", "HEAD"], or accept it with bypasses_git_gate = true`, route.Host)
}

func upstreams(remotes []Remote) []string {
	hosts := make([]string, 0, len(remotes))
	for _, remote := range remotes {
		hosts = append(hosts, remote.Upstream.Host)
	}
	return hosts
}
