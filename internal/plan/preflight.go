package plan

import (
	"fmt"
	"slices"
	"strings"

	"bottle.internal/internal/event"
)

// Preflight is what the operator reads before saying yes: who runs, what it sees, and
// what it can reach. It shows no value, no address and no temporary path, and text from
// a manifest cannot move the cursor or hide anything.
func (p Plan) Preflight() string {
	var t lines
	agent := fmt.Sprintf("%s (template %s)", p.Agent, p.Template)
	if p.Manifest.FromCwd {
		agent += fmt.Sprintf(", from %s: NOT YOUR OWN MANIFEST", p.Manifest.Path)
	}
	t.add("agent", agent)
	t.add("identity", p.Identity)
	t.add("bottle", p.Bottle)
	t.add("command", quoteCommand(p.Command))
	t.add("workdir", p.Workdir)
	t.add("prompt", p.promptText())
	t.add("skills", orNone(strings.Join(p.skillNames(), ", ")))
	t.add("env", p.envTexts()...)
	t.add("git", p.gitTexts()...)
	t.add("egress", p.egressTexts()...)
	if p.Supervise {
		t.add("supervise", "on: the agent may ask you for more")
	}
	if p.Model != "" {
		t.add("model", p.Model+" plays a model from a script; no model is asked")
	}
	for _, host := range p.DemoApproves {
		t.add("demo", fmt.Sprintf("approves the agent's request for %s, as you would with: bottle supervise approve ID", host))
	}
	if p.OnCanary != "" {
		t.add("canary", p.OnCanary)
	}
	t.add("firewall", p.firewallTexts()...)
	t.add("vm", p.vmTexts()...)
	t.add("warning", p.Warnings...)
	for _, feature := range p.Unsupported() {
		t.add("not yet", feature)
	}
	return t.String()
}

// lines collects the two columns of the preflight.
type lines struct{ b strings.Builder }

func (l *lines) add(label string, values ...string) {
	for i, value := range values {
		if i > 0 && label != "warning" {
			label = ""
		}
		// A newline in a value would look like a line of ours.
		value = strings.ReplaceAll(value, "\n", `\n`)
		fmt.Fprintf(&l.b, "%-10s %s\n", label, event.SafeText(strings.ReplaceAll(value, "\t", `\t`)))
	}
}

func (l *lines) String() string { return l.b.String() }

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// quoteCommand spells a command so that its words can be told apart.
func quoteCommand(command []string) string {
	words := make([]string, 0, len(command))
	for _, word := range command {
		if !plainShell.MatchString(word) {
			word = fmt.Sprintf("%q", word)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func (p Plan) promptText() string {
	switch {
	case p.Prompt.Text != "":
		n := strings.Count(p.Prompt.Text, "\n")
		if n == 1 {
			return "1 line"
		}
		return fmt.Sprintf("%d lines", n)
	case p.Prompt.File != "":
		return "from " + p.Prompt.File
	}
	return "none"
}

// envTexts names the operator's variables one by one and counts the rest.
func (p Plan) envTexts() []string {
	var own, placeholders []string
	rest := 0
	for _, env := range p.Env {
		switch {
		case env.Source == "host":
			own = append(own, fmt.Sprintf("%s  from the host's %s, VISIBLE TO THE AGENT", env.Name, env.From))
		case env.Source == "prompt":
			own = append(own, fmt.Sprintf("%s  asked at the start (%s), VISIBLE TO THE AGENT", env.Name, env.From))
		case env.Source == "literal":
			own = append(own, env.Name)
		case env.Value == Placeholder:
			placeholders = append(placeholders, env.Name)
		default:
			rest++
		}
	}
	if len(placeholders) > 0 {
		own = append(own, strings.Join(placeholders, ", ")+"  a placeholder")
	}
	return append(own, fmt.Sprintf("%d of bottle's own (proxy, certificates, settings)", rest))
}

func (p Plan) gitTexts() []string {
	texts := []string{}
	for _, remote := range p.Git.Remotes {
		text := fmt.Sprintf("%s -> %s:%d%s, push to %s", remote.Name, remote.Host, remote.Port,
			addressMarks(remote.Private, remote.AllowPrivate, remote.Echo), orNone(strings.Join(remote.Branches, ", ")))
		if remote.Approve {
			text += ", each after your approval"
		}
		if len(remote.Protect) == 0 {
			text += ", CI FILES ARE NOT PROTECTED"
		}
		texts = append(texts, text)
	}
	if p.Git.User != nil {
		texts = append(texts, fmt.Sprintf("commits by %s <%s>", p.Git.User.Name, p.Git.User.Email))
	}
	if len(texts) == 0 {
		return []string{"none"}
	}
	return texts
}

func (p Plan) egressTexts() []string {
	if len(p.Firewall.Hosts) == 0 {
		return []string{"nothing is allowed"}
	}
	var texts []string
	for _, host := range p.Firewall.Hosts {
		var text strings.Builder
		text.WriteString(hostPort(host.Host, host.Port, map[string]int{"https": 443, "http": 80}[host.Scheme]))
		if host.Scheme == "http" {
			text.WriteString(" [http, in clear]")
		}
		text.WriteString(addressMarks(host.Private, host.AllowPrivate, slices.Contains(p.Echo, host.Host)))
		for _, route := range p.Egress {
			if route.Host == host.Host && route.Port == host.Port {
				text.WriteString(route.marks())
			}
		}
		texts = append(texts, text.String())
	}
	return texts
}

// addressMarks says where a host may be.
func addressMarks(private bool, ranges []string, echo bool) string {
	var b strings.Builder
	if private {
		b.WriteString(" [private addresses]")
	}
	if len(ranges) > 0 {
		fmt.Fprintf(&b, " [private addresses: %s]", strings.Join(ranges, ", "))
	}
	if echo {
		b.WriteString(" [echo: run by bottle]")
	}
	return b.String()
}

// marks says what egress does for a route, with everything that widens it in capitals.
func (r Route) marks() string {
	var b strings.Builder
	if r.Auth != nil {
		source := r.Auth.String()
		if len(r.Auth.Cmd) > 0 {
			source = "cmd:" + quoteCommand(r.Auth.Cmd) // it runs on the host, so all of it is shown
		}
		fmt.Fprintf(&b, " [auth: %s from %s]", r.Auth.Header, source)
	}
	paths := strings.Join(r.Paths, " ")
	if slices.Contains(r.Paths, "/") {
		paths = "ALL PATHS"
	}
	fmt.Fprintf(&b, " [%s %s]", strings.Join(r.Methods, " "), paths)
	for _, mark := range []struct {
		on   bool
		text string
	}{
		{r.WebSocket, "websocket"},
		{len(r.PassHeaders) > 0, "passes " + strings.Join(r.PassHeaders, ", ")},
		{r.UpstreamCA != "", "UPSTREAM CA " + r.UpstreamCA},
		{r.EchoCA, "upstream CA: the echo's own"},
		{r.AllowMint, "MAY MINT CREDENTIALS"},
		{r.BypassesGitGate, "BYPASSES THE GIT GATE"},
	} {
		if mark.on {
			fmt.Fprintf(&b, " [%s]", mark.text)
		}
	}
	return b.String()
}

func (p Plan) firewallTexts() []string {
	texts := []string{p.Firewall.Engine}
	if len(p.Egress) > 0 {
		texts = append(texts, "body DLP: none on routed hosts")
	}
	return texts
}

func (p Plan) vmTexts() []string {
	texts := []string{fmt.Sprintf("%s %s, %d CPU, %d MiB memory, %d GiB disk", p.VM.Tool, p.VM.Version, p.VM.CPUs, p.VM.MemoryMiB, p.VM.DiskGiB)}
	if p.VM.Note != "" {
		texts = append(texts, p.VM.Note)
	}
	return texts
}
