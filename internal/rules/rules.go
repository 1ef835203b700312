// Package rules says what the daemons of a bundle are told of a plan: what the firewall,
// egress and the git gate decide by.
//
// It is pure and holds no secret: whoever starts the daemons adds keys, tokens and
// certificates; whoever explains a decision asks the same packages with the same rules.
package rules

import (
	"cmp"
	"fmt"
	"net/netip"

	"bottle.internal/internal/egress"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/forge"
	"bottle.internal/internal/gitgate"
	"bottle.internal/internal/plan"
)

// Firewall is the allowlist.
func Firewall(p plan.Plan) (firewall.Policy, error) {
	policy := firewall.Policy{Bottle: cmp.Or(p.Firewall.Bottle, p.Bottle)}
	for _, host := range p.Firewall.Hosts {
		ranges, err := prefixes(host.AllowPrivate)
		if err != nil {
			return policy, fmt.Errorf("reading allow_private of %s: %w", host.Host, err)
		}
		policy.Hosts = append(policy.Hosts, firewall.Host{
			Host: host.Host, Port: uint16(host.Port), Scheme: firewall.Scheme(host.Scheme), Mode: firewall.Mode(host.Mode),
			Private: host.Private, AllowPrivate: ranges,
		})
	}
	return policy, nil
}

// Egress is the configuration for routes of a plan, in this order, without certificates.
func Egress(p plan.Plan, routes []plan.Route) (egress.Config, error) {
	config := egress.Config{Placeholder: plan.Placeholder}
	for _, route := range routes {
		ranges, err := prefixes(route.AllowPrivate)
		if err != nil {
			return config, fmt.Errorf("reading allow_private of %s: %w", route.Host, err)
		}
		out := egress.Route{
			Host: route.Host, Port: uint16(route.Port), Methods: route.Methods, Paths: route.Paths,
			Provider: isProvider(p, route), Private: route.Private, AllowPrivate: ranges,
			WebSocket: route.WebSocket, PassHeaders: route.PassHeaders, AllowMint: route.AllowMint,
		}
		if route.Auth != nil {
			out.Auth = &egress.Auth{Header: route.Auth.Header, Scheme: route.Auth.Scheme}
		}
		config.Routes = append(config.Routes, out)
	}
	return config, nil
}

// copilotAPI is a model's host under a name of a forge's.
const copilotAPI = "api.githubcopilot.com"

// isProvider guesses whether a host is shown what the agent reads, as a model's is. The API
// of a forge has a credential too, but what it is shown may be read by everybody.
func isProvider(p plan.Plan, route plan.Route) bool {
	var upstreams []string
	for _, remote := range p.Git.Remotes {
		upstreams = append(upstreams, remote.Host)
	}
	return route.Auth != nil && (route.Host == copilotAPI || !forge.Is(route.Host, upstreams))
}

// Git is one remote, without the key of its host.
func Git(remote plan.Remote) gitgate.Remote {
	return gitgate.Remote{
		Name: remote.Name, Host: remote.Host, Port: remote.Port, User: remote.User, Path: remote.Path,
		Branches: remote.Branches, Approve: remote.Approve, Protect: remote.Protect,
		Private: remote.Private, AllowPrivate: remote.AllowPrivate,
	}
}

func prefixes(texts []string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		list = append(list, prefix)
	}
	return list, nil
}
