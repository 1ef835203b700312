package plan

import (
	"cmp"
	"fmt"
	"slices"
)

// demo is which echo name plays which role in the tour of template demo. A role that the
// bottle does not fill is empty, and the tour leaves its step out.
type demo struct {
	listed   string   // a plain route: reachable
	unlisted string   // alive and not reachable
	api      string   // URL of a route with a credential
	git      string   // URL of a repository behind the git gate
	branch   string   // where the tour pushes to
	fresh    []string // not reachable until the agent has asked
}

func demoOf(p Plan) demo {
	var d demo
	if p.Template != "demo" {
		return d
	}
	remote := d.gitRole(p)
	for _, name := range p.Echo {
		on := func(port int, mode string) bool {
			return slices.ContainsFunc(p.Firewall.Hosts, func(h Host) bool {
				return h.Host == name && h.Scheme == "https" && h.Port == port && h.Mode == mode
			})
		}
		switch {
		case on(443, "routed"):
			d.api = cmp.Or(d.api, apiURL(p, name))
		case on(443, "plain"):
			d.listed = cmp.Or(d.listed, name)
		case name == remote || slices.ContainsFunc(p.Firewall.Hosts, func(h Host) bool { return h.Host == name }):
		case d.unlisted == "":
			d.unlisted = name
		case p.Supervise && p.Firewall.Engine != "pipelock": // which takes up new hosts at the next start only
			d.fresh = append(d.fresh, name)
		}
	}
	return d
}

// gitRole finds a repository that takes the tour's branch without a question, if the tour
// has a name for its commits.
func (d *demo) gitRole(p Plan) (host string) {
	own := "bottle/" + p.Identity + "/"
	for _, remote := range p.Git.Remotes {
		if remote.Echo && !remote.Approve && p.Git.User != nil && slices.Contains(remote.Branches, own+"*") {
			d.git = fmt.Sprintf("ssh://%s@%s%s", remote.User, remote.Host, remote.Path)
			d.branch = own + "demo"
			return remote.Host
		}
	}
	return ""
}

// apiURL is a place of a route where the tour's GET passes, and its DELETE and the host's
// root do not; "" if the route is not like that.
func apiURL(p Plan, host string) string {
	i := slices.IndexFunc(p.Egress, func(r Route) bool { return r.Host == host && r.Port == 443 })
	if i < 0 {
		return ""
	}
	route := p.Egress[i]
	if route.Auth == nil || !slices.Contains(route.Methods, "GET") || slices.Contains(route.Methods, "DELETE") || slices.Contains(route.Paths, "/") {
		return ""
	}
	return "https://" + host + route.Paths[0]
}

// demoEnv tells the tour what to try, and that a live listener on the host must stay out
// of reach.
func (r *resolver) demoEnv(p Plan, d demo, put func(source, name, value string)) {
	if d.listed == "" || d.unlisted == "" {
		r.err.add(fmt.Sprintf("agents.%s: template demo needs a bottle with two echo names, one of them a plain route", r.agent.Name),
			fmt.Sprintf(`write in [bottles.%s]: echo = ["echo.bottle.test", "unlisted.bottle.test"], and a route with host = "echo.bottle.test", address = "private"`, r.bottle.Name))
		return
	}
	put(SourceTemplate, "BOTTLE_DEMO_URL", "https://"+d.listed+"/")
	put(SourceTemplate, "BOTTLE_DEMO_UNLISTED", "https://"+d.unlisted+"/")
	put(SourceLaunch, "BOTTLE_DEMO_CANARY", "")
	for _, role := range []struct{ name, value string }{
		{"BOTTLE_DEMO_API", d.api},
		{"BOTTLE_DEMO_GIT", d.git},
		{"BOTTLE_DEMO_BRANCH", d.branch},
	} {
		if role.value != "" {
			put(SourceTemplate, role.name, role.value)
		}
	}
	if len(p.DemoApproves) > 0 {
		put(SourceTemplate, "BOTTLE_DEMO_NEW", "https://"+p.DemoApproves[0]+"/")
	}
}
