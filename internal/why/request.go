package why

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"bottle.internal/internal/egress"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/firewall/requestscan"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/rules"
)

// target is a URL as a client would ask the proxy for it. Nothing in it is repaired.
type target struct {
	scheme    string // in lower case
	authority string // as it was written
	path      string // with the query, as it is sent
	upgrade   bool   // to a WebSocket
}

// parse cuts a URL; ok is false without a scheme.
func parse(text string) (t target, ok bool) {
	text, _, _ = strings.Cut(text, "#") // which is never sent
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return t, false
	}
	t.scheme, t.authority, t.path = strings.ToLower(scheme), rest, "/"
	if cut := strings.IndexAny(rest, "/?"); cut >= 0 {
		t.authority, t.path = rest[:cut], rest[cut:]
	}
	if t.path[0] == '?' {
		t.path = "/" + t.path
	}
	if t.scheme == "wss" || t.scheme == "ws" {
		t.upgrade = true
	}
	return t, true
}

// tunnels reports whether a client asks for it by CONNECT, and on which port.
func (t target) tunnels() (port string, yes bool) {
	switch t.scheme {
	case "https", "wss":
		return ":443", true
	case "ws":
		return ":80", true
	}
	return "", false
}

// toProxy is the request line that the firewall gets.
func (t target) toProxy(method string) (string, string) {
	port, tunnels := t.tunnels()
	if !tunnels {
		return method, t.scheme + "://" + t.authority + t.path
	}
	if hasPort(t.authority) {
		port = ""
	}
	return http.MethodConnect, t.authority + port
}

// hasPort looks behind user info and an IPv6 literal.
func hasPort(authority string) bool {
	authority = authority[strings.LastIndexByte(authority, '@')+1:]
	return strings.Contains(authority[strings.LastIndexByte(authority, ']')+1:], ":")
}

// question is the request without what may be secret.
func (t target) question(method string) string {
	path, _, _ := strings.Cut(t.path, "?")
	authority := t.authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority = "[redacted]" + authority[at:]
	}
	return method + " " + t.scheme + "://" + authority + path
}

// IsURL reports whether text is a URL that [Ask] can be asked about.
func IsURL(text string) bool {
	_, ok := parse(text)
	return ok
}

// Ask says what the firewall and egress would answer. Its error is about the plan.
func Ask(f Facts, r Request) (Answer, error) {
	t, _ := parse(r.URL)
	if f.Secrets == nil {
		f.Secrets = &requestscan.Scanner{} // one for all that follows: it compiles many rules
	}
	answer := newAnswer(f, t.question(r.Method))
	now, err := f.judge(f.Plan, r, t)
	if err != nil {
		return answer, err
	}
	before, err := f.judge(f.Launched, r, t)
	if err != nil {
		return answer, err
	}
	answer.Allowed, answer.Steps, answer.Headers = now.allowed(), now.steps, now.headers
	if answer.Allowed && !before.allowed() {
		if text := f.approvalOf(now, r.Method); text != "" {
			for i := range answer.Steps {
				if i >= len(before.steps) || !before.steps[i].Allows {
					answer.Steps[i].Approval = text
				}
			}
		}
	}
	if answer.Allowed {
		f.notesOnAllowed(&answer, now)
	} else {
		f.remedy(&answer, now, r)
		if err := f.tryRemedy(&answer, now, r); err != nil {
			return answer, err
		}
	}
	if f.Plan.Firewall.Engine == "pipelock" {
		answer.note("this is what the gate in front of pipelock decides; pipelock's own rules on content are not evaluated")
	}
	return answer, nil
}

// verdict is what the daemons say by one plan.
type verdict struct {
	target
	steps   []Step
	headers []Header
	host    *plan.Host  // the entry of the allowlist, if there is one
	route   *plan.Route // of a routed host
	told    *egress.Route
	front   firewall.Decision
}

func (v verdict) allowed() bool { return v.steps[len(v.steps)-1].Allows }

func (v verdict) rule() string { return v.steps[len(v.steps)-1].Rule }

func (v verdict) layer() string { return v.steps[len(v.steps)-1].Layer }

// judge asks the evaluators in the order in which a request meets the daemons.
func (f Facts) judge(p plan.Plan, r Request, t target) (verdict, error) {
	v := verdict{target: t}
	policy, err := rules.Firewall(p)
	if err != nil {
		return v, err
	}
	method, line := t.toProxy(r.Method)
	request := firewall.Request{Method: method, Target: line, Header: http.Header{}}
	_, tunnels := t.tunnels()
	if !tunnels {
		request.Header = named(r.Headers)
	}
	d := firewall.Judge(policy, f.Secrets, request)
	v.front = d
	v.find(p, d)
	step := Step{Layer: "firewall", Allows: d.Allow, Status: d.Status(), Rule: string(d.Rule), Reason: d.Reason}
	if v.host != nil {
		step.At = v.host.At
	}
	v.steps = append(v.steps, step)
	for _, name := range r.Headers {
		v.headers = append(v.headers, Header{printable.ASCII(name, 60), fateInClear(name, tunnels)})
	}
	if !d.Allow || d.Route.Mode != firewall.Routed {
		return v, nil
	}
	err = v.askEgress(p, r)
	return v, err
}

func named(headers []string) http.Header {
	header := http.Header{}
	for _, name := range headers {
		header[http.CanonicalHeaderKey(name)] = []string{""}
	}
	return header
}

func fateInClear(name string, tunnels bool) string {
	switch {
	case tunnels:
		return "passed on: nobody reads what is inside of the tunnel"
	case firewall.Passes(name):
		return "passed on"
	}
	return "dropped: a request in clear keeps only what downloads need"
}

// find looks up who allowed it, or would have.
func (v *verdict) find(p plan.Plan, d firewall.Decision) {
	host, port := cmp.Or(d.Route.Host, d.Target.Host), int(cmp.Or(d.Route.Port, d.Target.Port))
	if i := slices.IndexFunc(p.Firewall.Hosts, func(h plan.Host) bool { return h.Host == host && h.Port == port }); i >= 0 {
		v.host = &p.Firewall.Hosts[i]
	}
	if i := slices.IndexFunc(p.Egress, func(r plan.Route) bool { return r.Host == host && r.Port == port }); i >= 0 {
		v.route = &p.Egress[i]
	}
}

func (v *verdict) askEgress(p plan.Plan, r Request) error {
	config, err := rules.Egress(p, p.Egress)
	if err != nil {
		return err
	}
	told, ok := config.FindRoute(v.front.Route.Host, v.front.Route.Port)
	if !ok || v.route == nil {
		return fmt.Errorf("%s is routed, and egress has no route for it", v.front.Route)
	}
	v.told, v.headers = &told, nil
	for _, name := range r.Headers {
		v.headers = append(v.headers, Header{printable.ASCII(name, 60), told.Header(name)})
	}
	head := egress.Head{
		Method: r.Method, Target: v.path, Authority: v.authority, Upgrade: v.upgrade,
		HasBody: slices.Contains([]string{"POST", "PUT", "PATCH"}, r.Method),
	}
	step := Step{Layer: "egress", At: v.route.At}
	if refused := egress.Judge(config, told, head, named(r.Headers)); refused != nil {
		step.Status, step.Rule, step.Reason = refused.Status(), string(refused.Rule), refused.Reason
	} else {
		step.Allows, step.Status, step.Rule, step.Reason = true, http.StatusOK, string(egress.RuleRoute), v.grants()
	}
	v.steps = append(v.steps, step)
	return nil
}

// grants says what egress does with what it allows.
func (v *verdict) grants() string {
	text := fmt.Sprintf("%s takes %s under %s", v.told, strings.Join(v.route.Methods, " "), strings.Join(v.route.Paths, " "))
	if auth := v.route.Auth; auth != nil {
		text += fmt.Sprintf("; %s is added from %s", auth.Header, auth)
	}
	return text
}
