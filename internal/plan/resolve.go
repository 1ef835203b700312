package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
)

// Resolve makes the plan, or returns an [*Error] with everything that stands in its way.
func Resolve(set *manifest.Set, request Request, facts Facts) (Plan, error) {
	agent, err := findAgent(set, request)
	if err != nil {
		return Plan{}, err
	}
	r := resolver{agent: agent, bottle: set.Bottles[agent.Bottle], template: templateOf(agent.Template), request: request, facts: facts}
	r.template.placeholders = r.placeholders()
	r.checkTrust()
	if !facts.Unseen {
		r.checkTools()
	}
	p := r.plan()
	if !facts.Unseen {
		r.checkFiles(p)
		r.checkHostEnv()
		r.checkVM(p.VM)
	}
	if len(r.err.Problems) > 0 {
		return Plan{}, &r.err
	}
	p.Warnings = append(p.Warnings, r.warnings...)
	slices.Sort(p.Warnings)
	return p, nil
}

type resolver struct {
	agent    manifest.Agent
	bottle   manifest.Bottle
	template template
	request  Request
	facts    Facts
	err      Error
	warnings []string
}

func findAgent(set *manifest.Set, request Request) (manifest.Agent, error) {
	known := set.AgentNames()
	if len(known) == 0 {
		return manifest.Agent{}, &Error{
			Problems: []string{fmt.Sprintf("%s defines no agents", cmp.Or(set.UserPath, "the manifest"))},
			Hints:    []string{"bottle init --print --template claude shows how to write one; or name another file: --manifest FILE"},
		}
	}
	agent, ok := set.Agents[request.Agent]
	if !ok {
		return manifest.Agent{}, &UnknownAgentError{Asked: request.Agent, Known: known}
	}
	id, err := names.ParseIdentity(string(request.Identity))
	if err != nil {
		return manifest.Agent{}, fmt.Errorf("planning %s: %w", agent.Name, err)
	}
	if id.Agent() != agent.Name {
		return manifest.Agent{}, fmt.Errorf("planning %s: %q is the identity of another agent", agent.Name, id)
	}
	return agent, nil
}

func (r *resolver) plan() Plan {
	id := string(r.request.Identity)
	p := Plan{
		Format: Format, Identity: id, Agent: r.agent.Name, Bottle: r.bottle.Name, Template: r.agent.Template,
		Manifest:  Manifest{Path: r.agent.File, FromCwd: r.agent.FromCwd, At: r.agent.At()},
		Workdir:   cmp.Or(r.agent.Workdir, guestapi.AgentWorkdir),
		Prompt:    promptOf(r.agent),
		Skills:    skillsOf(r.agent),
		StateDirs: listed(r.template.stateDirs),
		Image:     Image{Recipe: "agent", Key: r.facts.RecipeKey, Tools: listed(r.template.tools)},
		VM: VM{
			Name: "bottle-" + id, Tool: r.facts.VMTool.Name, Version: r.facts.VMTool.Version, Note: r.facts.VMTool.Note,
			CPUs:      cmp.Or(r.bottle.Resources.CPUs, r.template.cpus),
			MemoryMiB: cmp.Or(r.bottle.Resources.MemoryMiB, r.template.memoryMiB),
			DiskGiB:   cmp.Or(r.bottle.Resources.DiskGiB, diskGiB),
		},
		Firewall:  Firewall{Engine: r.facts.FirewallEngine, Bottle: r.bottle.RoutesIn(), Hosts: []Host{}},
		Egress:    []Route{},
		Git:       r.git(),
		Supervise: r.bottle.Supervise,
		OnCanary:  cmp.Or(r.bottle.OnCanary, CanaryCut),
		Echo:      listed(r.bottle.Echo),
		Model:     r.bottle.Model,
		At:        r.places(),
		Labels:    map[string]string{"bottle.identity": id, "bottle.agent": r.agent.Name},
		Warnings:  []string{},
	}
	p.Command = r.command(p.Prompt)
	p.Files = r.files(p)
	r.routes(&p)
	r.checkBaseURL(p)
	r.daemons(&p)
	d := demoOf(p)
	p.DemoApproves = d.fresh
	p.Env = r.env(p, d)
	return p
}

// places are those of the bottle and of its single values.
func (r *resolver) places() map[string]string {
	places := map[string]string{"bottle": r.bottle.At("")}
	for name, key := range map[string]string{
		"supervise": "supervise", "on_canary": "on_canary", "echo": "echo",
		"cpus": "resources.cpus", "memory": "resources.memory", "disk": "resources.disk",
	} {
		if at := r.bottle.At(key); at != "" {
			places[name] = at
		}
	}
	return places
}

// listed is a copy that prints as [] when it is empty.
func listed(list []string) []string { return append([]string{}, list...) }

// routes sorts the hosts of the bottle into the firewall's list and egress's.
func (r *resolver) routes(p *Plan) {
	for _, route := range r.bottle.Routes {
		host := Host{
			Host: route.Host, Port: route.Port, Scheme: route.Scheme, Mode: "plain",
			Private: route.Private, AllowPrivate: route.AllowPrivate, At: route.At(),
		}
		if route.Routed() {
			host.Mode = "routed"
			p.Egress = append(p.Egress, r.egress(route))
		}
		p.Firewall.Hosts = append(p.Firewall.Hosts, host)
	}
	slices.SortFunc(p.Firewall.Hosts, func(a, b Host) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
	slices.SortFunc(p.Egress, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
}

func (r *resolver) egress(route manifest.Route) Route {
	out := Route{
		Host: route.Host, Port: route.Port, Methods: route.Methods, Paths: route.Paths,
		Private: route.Private, AllowPrivate: route.AllowPrivate, WebSocket: route.WebSocket,
		PassHeaders: listed(route.PassHeaders), AllowMint: route.AllowMint, BypassesGitGate: route.BypassesGitGate,
		EchoCA: slices.Contains(r.bottle.Echo, route.Host), At: route.At(),
	}
	if out.Methods == nil {
		// Without a credential of ours the agent could use one of its own: reading only.
		out.Methods = []string{"GET", "HEAD"}
	}
	if out.Paths == nil {
		out.Paths = []string{"/"}
	}
	if route.UpstreamCA != "" {
		out.UpstreamCA = hostPath(r.bottle.File, route.UpstreamCA)
	}
	if route.Auth != nil {
		token := route.Auth.Token
		out.Auth = &Auth{Header: route.Auth.Header, Scheme: route.Auth.Scheme, Source: string(token.Kind), Name: token.Name, Cmd: token.Cmd}
		switch token.Kind {
		case manifest.TokenFile:
			out.Auth.Name = hostPath(r.bottle.File, token.Name)
		case manifest.TokenCmd:
			out.Auth.Name = token.Cmd[0]
		}
	}
	return out
}

func (r *resolver) git() Git {
	git := Git{Bottle: r.bottle.RemotesIn(), Remotes: []Remote{}}
	if user := r.bottle.GitUser; user != nil {
		git.User = &User{Name: user.Name, Email: user.Email, At: r.bottle.At("git.user")}
	}
	for _, remote := range r.bottle.Remotes {
		branches := remote.Push.Branches
		if branches == nil {
			branches = []string{"bottle/<identity>/*"}
		}
		protect := remote.Push.Protect
		if protect == nil {
			protect = manifest.ProtectedPaths()
		}
		out := Remote{
			Name: remote.Name, Host: remote.Upstream.Host, Port: remote.Upstream.Port, User: remote.Upstream.User, Path: remote.Upstream.Path,
			KnownHostKey: remote.KnownHostKey, Private: remote.Private, AllowPrivate: remote.AllowPrivate,
			Branches: []string{}, Approve: remote.Push.Approve, Protect: protect, At: remote.At(),
		}
		if remote.IdentityFile != "" {
			out.IdentityFile = hostPath(r.bottle.File, remote.IdentityFile)
		}
		if slices.Contains(r.bottle.Echo, out.Host) {
			out.Echo, out.Private, out.AllowPrivate = true, true, nil
		}
		for _, branch := range branches {
			out.Branches = append(out.Branches, strings.ReplaceAll(branch, "<identity>", string(r.request.Identity)))
		}
		git.Remotes = append(git.Remotes, out)
	}
	return git
}

func (r *resolver) daemons(p *Plan) {
	p.Daemons = []string{"firewall"}
	p.Ports = []Port{{Daemon: "firewall", Guest: PortFirewall}}
	// With supervise a routed host may come later, and daemons are chosen once.
	if len(p.Egress) > 0 || p.Supervise {
		p.Daemons = append(p.Daemons, "egress")
	}
	if len(p.Git.Remotes) > 0 {
		p.Daemons = append(p.Daemons, "git-gate")
		p.Ports = append(p.Ports, Port{Daemon: "git-gate", Guest: PortGitGate})
	}
	if p.Supervise {
		p.Daemons = append(p.Daemons, "supervise")
		p.Ports = append(p.Ports, Port{Daemon: "supervise", Guest: PortSupervise})
	}
}
