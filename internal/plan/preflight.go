package plan

import (
	"fmt"
	"slices"
	"strings"

	"bottle.internal/internal/printable"
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
	t.add("workspace", p.workspaceTexts()...)
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
	t.add("canary", p.canaryText())
	t.add("firewall", p.firewallTexts()...)
	t.add("vm", p.vmTexts()...)
	t.add("warning", p.Warnings...)
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
		fmt.Fprintf(&l.b, "%-10s %s\n", label, printable.SafeText(strings.ReplaceAll(value, "\t", `\t`)))
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
		return textLines(p.Prompt.Text)
	case p.Prompt.File != "":
		return "from " + p.Prompt.File
	}
	return "none"
}

func textLines(text string) string {
	switch n := strings.Count(text, "\n"); n {
	case 0:
		return ""
	case 1:
		return "1 line"
	default:
		return fmt.Sprintf("%d lines", n)
	}
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
		texts = append(texts, remote.Name+" -> "+remote.text())
	}
	if p.Git.User != nil {
		texts = append(texts, fmt.Sprintf("commits by %s <%s>", p.Git.User.Name, p.Git.User.Email))
	}
	if len(texts) == 0 {
		return []string{"none"}
	}
	return texts
}

func (r Remote) text() string {
	text := fmt.Sprintf("%s:%d%s, push to %s", r.Host, r.Port,
		addressMarks(r.Private, r.AllowPrivate, r.Echo), orNone(strings.Join(r.Branches, ", ")))
	if r.Approve {
		text += ", each after your approval"
	}
	if len(r.Protect) == 0 {
		text += ", CI FILES ARE NOT PROTECTED"
	}
	return text
}

func (p Plan) egressTexts() []string {
	if len(p.Firewall.Hosts) == 0 {
		return []string{"nothing is allowed"}
	}
	var texts []string
	for _, host := range p.Firewall.Hosts {
		name := hostPort(host.Host, host.Port, map[string]int{"https": 443, "http": 80}[host.Scheme])
		texts = append(texts, name+p.marks(host))
	}
	return texts
}

// marks says all about a host of the allowlist but its name.
func (p Plan) marks(host Host) string {
	var text strings.Builder
	if host.Scheme == "http" {
		text.WriteString(" [http, in clear]")
	}
	text.WriteString(addressMarks(host.Private, host.AllowPrivate, slices.Contains(p.Echo, host.Host)))
	for _, route := range p.Egress {
		if route.Host == host.Host && route.Port == host.Port {
			text.WriteString(route.marks())
		}
	}
	return text.String()
}

// reachText is marks for who has read the name already.
func (p Plan) reachText(host Host) string {
	marks := strings.TrimSpace(p.marks(host))
	if host.Mode == "plain" && host.Scheme == "https" {
		return strings.TrimSpace("any method and path, unread " + marks)
	}
	return marks
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

// canaryText says what becomes of a bottle that sends what nobody may know.
func (p Plan) canaryText() string {
	if p.Cuts() {
		return "cut: fake credentials are planted; a bottle that sends one loses its network"
	}
	return "warn: fake credentials are planted; when one is sent, you are told"
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

func (p Plan) skillNames() []string {
	var list []string
	for _, skill := range p.Skills {
		list = append(list, skill.Name)
	}
	return list
}

// hostPort leaves out the port that goes without saying.
func hostPort(host string, port, usual int) string {
	if port == usual {
		return host
	}
	return fmt.Sprintf("%s:%d", host, port)
}
