package overseer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/egress"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/firewall/pipelock"
	"bottle.internal/internal/gitgate"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/rules"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/token"
)

// The operator's engine, and where the bundle's image has it.
const (
	enginePipelock = "pipelock"
	pipelockPath   = "/usr/local/bin/pipelock"
)

// Inputs are what the daemons of the plan in force are told at their start.
func (o *Overseer) Inputs() (map[string]control.Inputs, error) { return o.inputs(o.queue.Plan()) }

func (o *Overseer) inputs(p plan.Plan) (map[string]control.Inputs, error) {
	makers := map[string]func(plan.Plan) (control.Inputs, error){
		daemons.Firewall: o.firewallInputs, daemons.Egress: o.egressInputs,
		daemons.GitGate: o.gitInputs, daemons.Supervise: superviseInputs,
	}
	all := map[string]control.Inputs{}
	for _, name := range o.config.Plan.Daemons {
		inputs, err := makers[name](p)
		if err != nil {
			return nil, fmt.Errorf("preparing the %s: %w", name, err)
		}
		all[name] = inputs
	}
	return all, nil
}

// Hosts are the lines of the container's hosts file for the plan in force, approvals of
// earlier runs included.
func (o *Overseer) Hosts() []string { return Hosts(o.queue.Plan()) }

// Hosts are the lines of the container's hosts file: for pipelock, a routed name is egress.
func Hosts(p plan.Plan) []string {
	var lines []string
	for _, host := range p.Firewall.Hosts {
		line := host.Host + ":127.0.0.2"
		if p.Firewall.Engine == enginePipelock && host.Mode == "routed" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

func (o *Overseer) firewallInputs(p plan.Plan) (control.Inputs, error) {
	policy, err := rules.Firewall(p)
	policy.Canaries = reveal(o.config.Canaries)
	if err != nil {
		return nil, err
	}
	files, err := firewall.Render(policy)
	if err != nil {
		return nil, err
	}
	inputs := control.Inputs{}
	for _, file := range files {
		inputs[file.Name] = secret.New(string(file.Data))
	}
	if p.Firewall.Engine == enginePipelock {
		engine, err := json.Marshal(pipelock.Engine{Binary: pipelockPath, SHA256: o.config.PipelockSHA256})
		if err != nil {
			return nil, err
		}
		inputs[pipelock.EngineFile] = secret.New(string(engine))
	}
	return inputs, nil
}

func (o *Overseer) egressInputs(p plan.Plan) (control.Inputs, error) {
	routes := o.egressOrder(p)
	config, err := rules.Egress(p, routes)
	if err != nil {
		return nil, err
	}
	config.UpstreamProxy = o.config.UpstreamProxy
	config.Canaries, config.OnCanary = reveal(o.config.Canaries), p.OnCanary
	inputs := control.Inputs{}
	for i, route := range routes {
		if config.Routes[i].UpstreamCA, err = o.upstreamCA(route); err != nil {
			return nil, err
		}
		if value, ok := o.tokenOf(route); ok {
			inputs[egress.TokenInput(i)] = value
		}
	}
	if !o.config.UpstreamProxyAuth.IsEmpty() {
		inputs[egress.ProxyAuthInput] = o.config.UpstreamProxyAuth
	}
	text, err := egress.Render(config)
	if err != nil {
		return nil, err
	}
	inputs[egress.ConfigInput] = secret.New(string(text))
	inputs[egress.CertInput] = secret.New(string(o.config.Authority.CertPEM()))
	inputs[egress.KeyInput] = o.config.Authority.KeyPEM()
	return inputs, nil
}

// egressOrder is the plan's routes as egress numbers them: those with a credential first, in
// the order of the launch. Approvals neither make nor end such a route, so a number that
// egress asks by means one credential for the life of the bottle, even while egress and this
// process have different plans in force.
func (o *Overseer) egressOrder(p plan.Plan) []plan.Route {
	source := func(route plan.Route) int {
		if i := o.sourceOf(route); i >= 0 {
			return i
		}
		return len(o.config.Plan.Egress)
	}
	return slices.SortedStableFunc(slices.Values(p.Egress), func(a, b plan.Route) int { return source(a) - source(b) })
}

// upstreamCA is what verifies a route's upstream in place of the system's authorities, or "".
func (o *Overseer) upstreamCA(route plan.Route) (string, error) {
	switch {
	case route.EchoCA:
		return string(o.config.EchoCA), nil
	case route.UpstreamCA == "":
		return "", nil
	}
	pem, ok := o.config.UpstreamCAs[route.UpstreamCA]
	if !ok {
		return "", fmt.Errorf("the upstream_ca of %s has not been read", route.Host)
	}
	return string(pem), nil
}

func (o *Overseer) gitInputs(p plan.Plan) (control.Inputs, error) {
	config := gitgate.Config{Canaries: reveal(o.config.Canaries)}
	for _, remote := range p.Git.Remotes {
		known := rules.Git(remote)
		known.KnownHostKey = o.config.Remotes[remote.Name].KnownHostKey
		config.Remotes = append(config.Remotes, known)
	}
	text, err := gitgate.Render(config)
	if err != nil {
		return nil, err
	}
	return control.Inputs{gitgate.ConfigFile: secret.New(string(text))}, nil
}

// reveal is for the daemons that look for them.
func reveal(values []secret.Value) []string {
	var list []string
	for _, value := range values {
		list = append(list, value.Reveal())
	}
	return list
}

func superviseInputs(p plan.Plan) (control.Inputs, error) {
	text, err := proposal.Public(p).Render()
	if err != nil {
		return nil, err
	}
	return control.Inputs{ask.InputName: secret.New(string(text))}, nil
}

// firstTokens asks every source once and tells what is missing, but no value.
func (o *Overseer) firstTokens(ctx context.Context) (map[int]secret.Value, error) {
	if o.config.Tokens == nil {
		return map[int]secret.Value{}, nil
	}
	tokens, missing := o.config.Tokens.First(ctx)
	for i, route := range o.config.Plan.Egress {
		if err := missing[i]; err != nil {
			o.config.Say(fmt.Sprintf("%s has no credential, so egress will answer 502: %v", route.Host, err))
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return tokens, nil
}

// sourceOf finds a route's credential by host and port: approvals move indices.
func (o *Overseer) sourceOf(route plan.Route) int {
	return slices.IndexFunc(o.config.Plan.Egress, func(r plan.Route) bool {
		return r.Host == route.Host && r.Port == route.Port && r.Auth != nil
	})
}

func (o *Overseer) tokenOf(route plan.Route) (secret.Value, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	value, ok := o.tokens[o.sourceOf(route)]
	return value, ok
}

// refreshToken fetches the token of a route again, by egress's number. It looks at the plan of
// the launch alone: the one in force may be another than the one that egress asks about.
func (o *Overseer) refreshToken(ctx context.Context, index int) (secret.Value, error) {
	routes := o.egressOrder(o.config.Plan)
	if index < 0 || index >= len(routes) || routes[index].Auth == nil {
		return secret.Value{}, errors.New("there is no such route with a credential")
	}
	source := o.sourceOf(routes[index])
	value, err := o.config.Tokens.Refresh(ctx, source)
	if detailed := (*token.Error)(nil); errors.As(err, &detailed) {
		o.config.Say(fmt.Sprintf("no new credential for %s: %v", routes[index].Host, err))
		return secret.Value{}, errors.New(detailed.Short())
	}
	if err != nil {
		return secret.Value{}, err
	}
	o.give(source, value)
	return value, nil
}

// give hides a token that is new before anybody can have it, and writes down who gets it.
func (o *Overseer) give(source int, value secret.Value) {
	o.mu.Lock()
	isNew := o.tokens[source].Reveal() != value.Reveal()
	o.mu.Unlock()
	if isNew {
		route := o.config.Plan.Egress[source]
		o.config.Hide(value)
		o.config.Audit(EventToken, map[string]any{"host": route.Host, "port": route.Port})
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tokens[source] = value
}

// Secrets are the credentials that must never be in the guest or in a log.
func (o *Overseer) Secrets() []secret.Value {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []secret.Value
	for _, value := range o.tokens {
		list = append(list, value)
	}
	return list
}

// Credential is the whole value of the header that egress adds for a route.
func (o *Overseer) Credential(route plan.Route) (secret.Value, bool) {
	value, ok := o.tokenOf(route)
	if !ok || route.Auth == nil {
		return secret.Value{}, false
	}
	if route.Auth.Scheme == "" {
		return value, true
	}
	return secret.New(route.Auth.Scheme + " " + value.Reveal()), true
}
