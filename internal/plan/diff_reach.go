package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// reach is a host of the allowlist with its route.
type reach struct {
	Host
	route *Route // nil: plain
	text  string
}

func reaches(p Plan) []reach {
	list := make([]reach, 0, len(p.Firewall.Hosts))
	for _, host := range p.Firewall.Hosts {
		r := reach{Host: host, text: p.reachText(host)}
		i := slices.IndexFunc(p.Egress, func(route Route) bool { return route.Host == host.Host && route.Port == host.Port })
		if i >= 0 && host.Mode == "routed" {
			r.route = &p.Egress[i]
		}
		list = append(list, r)
	}
	return list
}

// hosts compares what the agent can reach, and how.
func (d *differ) hosts(before, after Plan) {
	const unreachable = "not reachable"
	key := func(r reach) string { return fmt.Sprintf("%s:%d", r.Host.Host, r.Port) }
	for _, p := range pairs(reaches(before), reaches(after), key) {
		field := "host " + p.key
		switch {
		case p.before == nil:
			d.add(Widens, field, unreachable, p.after.text, p.after.At)
		case p.after == nil:
			d.add(Narrows, field, p.before.text, unreachable, "")
		default:
			d.host(field, *p.before, *p.after)
		}
	}
}

func (d *differ) host(field string, x, y reach) {
	// http is in clear, and https is a tunnel that takes every method: each opens something.
	d.value(Widens, field+" scheme", x.Scheme, y.Scheme, y.At)
	d.addresses(field, x.addresses(), y.addresses(), y.At)
	switch {
	case x.route == nil && y.route != nil:
		effect := Narrows
		if y.route.Auth != nil {
			effect = Widens
		}
		d.add(effect, field, x.text, y.text, y.At)
	case x.route != nil && y.route == nil:
		d.add(Widens, field, x.text, y.text, y.At)
	case x.route != nil:
		d.route(field, *x.route, *y.route)
	}
}

func (d *differ) route(field string, x, y Route) {
	d.set(Widens, field+" methods", x.Methods, y.Methods, has, y.At)
	d.set(Widens, field+" paths", x.Paths, y.Paths, hasPath, y.At)
	d.auth(field, x.Auth, y.Auth, y.At)
	d.flag(Widens, field+" websocket", x.WebSocket, y.WebSocket, y.At)
	d.set(Widens, field+" pass_headers", x.PassHeaders, y.PassHeaders, has, y.At)
	d.flag(Widens, field+" allow_mint", x.AllowMint, y.AllowMint, y.At)
	d.flag(Widens, field+" bypasses_git_gate", x.BypassesGitGate, y.BypassesGitGate, y.At)
	effect := Widens
	if y.UpstreamCA == "" {
		effect = Narrows // back to the system's authorities
	}
	d.value(effect, field+" upstream_ca", x.UpstreamCA, y.UpstreamCA, y.At)
}

// hasPath knows prefixes as egress does: they match at the border of a segment.
func hasPath(prefixes []string, path string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		rest, ok := strings.CutPrefix(path, prefix)
		return ok && (rest == "" || strings.HasSuffix(prefix, "/") || rest[0] == '/')
	})
}

func (d *differ) auth(field string, x, y *Auth, at string) {
	text := func(a *Auth) string {
		switch {
		case a == nil:
			return ""
		case len(a.Cmd) > 0:
			return "cmd:" + quoteCommand(a.Cmd)
		}
		return a.String()
	}
	effect := Widens
	if y == nil {
		effect = Narrows
	}
	d.value(effect, field+" credential", text(x), text(y), at)
	if x != nil && y != nil {
		d.value(Differs, field+" credential's header", x.Header+" "+x.Scheme, y.Header+" "+y.Scheme, at)
	}
}

// addresses is what a name may resolve to beside the public addresses.
type addresses struct {
	private bool
	ranges  []string
}

func (r reach) addresses() addresses {
	a := addresses{r.Private, r.AllowPrivate}
	if r.route != nil { // which Resolve gives the same
		a.private, a.ranges = a.private || r.route.Private, append(slices.Clone(a.ranges), r.route.AllowPrivate...)
	}
	return a
}

func (a addresses) list() []string {
	list := slices.Compact(slices.Sorted(slices.Values(a.ranges)))
	if a.private {
		list = append(list, anyPrivate)
	}
	return list
}

const anyPrivate = "any private address"

func (d *differ) addresses(field string, x, y addresses, at string) {
	d.set(Widens, field+" private addresses", x.list(), y.list(), hasRange, at)
}

// hasRange: the manifest admits only ranges that are private or, beyond that, carrier-grade
// NAT, in canonical form.
func hasRange(list []string, item string) bool {
	if slices.Contains(list, item) {
		return true
	}
	inner, err := netip.ParsePrefix(item)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(list, func(text string) bool {
		if text == anyPrivate {
			return inner.Addr().IsPrivate()
		}
		outer, err := netip.ParsePrefix(text)
		return err == nil && outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
	})
}

// remotes compares the repositories behind the git gate.
func (d *differ) remotes(before, after Plan) {
	for _, p := range pairs(before.Git.Remotes, after.Git.Remotes, func(r Remote) string { return r.Name }) {
		field := "git remote " + p.key
		switch {
		case p.before == nil:
			d.add(Widens, field, "", p.after.text(), p.after.At)
		case p.after == nil:
			d.add(Narrows, field, p.before.text(), "", "")
		default:
			d.remote(field, *p.before, *p.after)
		}
	}
	user := func(u *User) string {
		if u == nil {
			return ""
		}
		return fmt.Sprintf("%s <%s>", u.Name, u.Email)
	}
	at := ""
	if after.Git.User != nil {
		at = after.Git.User.At
	}
	d.value(Differs, "git user", user(before.Git.User), user(after.Git.User), at)
}

func (d *differ) remote(field string, x, y Remote) {
	d.value(Widens, field+" upstream", x.url(), y.url(), y.At)
	d.value(Widens, field+" identity_file", x.IdentityFile, y.IdentityFile, y.At)
	d.value(Widens, field+" known_host_key", x.KnownHostKey, y.KnownHostKey, y.At)
	d.addresses(field, addresses{x.Private, x.AllowPrivate}, addresses{y.Private, y.AllowPrivate}, y.At)
	d.set(Widens, field+" branches", x.Branches, y.Branches, has, y.At)
	d.flag(Narrows, field+" approve", x.Approve, y.Approve, y.At)
	d.set(Narrows, field+" protect", x.Protect, y.Protect, has, y.At)
}

func (r Remote) url() string { return fmt.Sprintf("ssh://%s@%s:%d%s", r.User, r.Host, r.Port, r.Path) }
