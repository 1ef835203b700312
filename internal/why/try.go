package why

import (
	"slices"

	"bottle.internal/internal/egress"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/plan"
)

// tryRemedy asks again by a plan that has what was told to write, and says what would still
// refuse.
func (f Facts) tryRemedy(answer *Answer, v verdict, r Request) error {
	if len(answer.ToAllow) == 0 || v.rule() == string(firewall.RuleSpelling) {
		return nil
	}
	again, err := f.judge(widened(f.Plan, v, r), r, v.target)
	if err != nil || again.allowed() {
		return err
	}
	answer.note("that alone is not enough: " + again.steps[len(again.steps)-1].Reason)
	return nil
}

func widened(p plan.Plan, v verdict, r Request) plan.Plan {
	p.Firewall.Hosts, p.Egress = slices.Clone(p.Firewall.Hosts), slices.Clone(p.Egress)
	if v.layer() == "firewall" {
		host := plan.Host{Host: v.front.Target.Host, Port: int(v.front.Target.Port), Scheme: string(v.front.Target.Scheme), Mode: "plain"}
		if v.front.Target.Scheme == firewall.HTTPS {
			host.Mode = "routed"
			p.Egress = append(p.Egress, plan.Route{
				Host: host.Host, Port: host.Port, Methods: []string{r.Method}, Paths: []string{prefixOf(v.path)}, WebSocket: v.upgrade,
			})
		}
		p.Firewall.Hosts = append(p.Firewall.Hosts, host)
		return p
	}
	for i := range p.Egress {
		route := &p.Egress[i]
		if route.Host != v.route.Host || route.Port != v.route.Port {
			continue
		}
		switch egress.Rule(v.rule()) {
		case egress.RulePaths:
			route.Paths = append(slices.Clone(route.Paths), prefixOf(v.path))
		case egress.RuleMethod:
			route.Methods = append(slices.Clone(route.Methods), r.Method)
		case egress.RuleMint:
			route.AllowMint = true
		case egress.RuleUpgrade:
			route.WebSocket = true
		}
	}
	return p
}
