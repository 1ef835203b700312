package plan_test

import (
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/manifest"
	"bottle.internal/internal/plan"
)

// agentIn is a manifest of one agent, in a bottle with the model's API behind a route.
func agentIn(template, bottle, agent string) string {
	return "[bottles.b]\n" + bottle + "\n[[bottles.b.egress.routes]]\nhost = \"api.example.com\"\nmethods = [\"GET\", \"POST\"]\npaths = [\"/v1/\"]\n" +
		"auth = { header = \"X-API-Key\", token = \"env:KEY\" }\n[agents.a]\nbottle = \"b\"\ntemplate = \"" + template + "\"\n" + agent
}

func resolve(t *testing.T, text string, change func(*plan.Request)) (plan.Plan, error) {
	t.Helper()
	set := parse(t, text)
	request := ask("a")
	if change != nil {
		change(&request)
	}
	return plan.Resolve(set, request, facts(set, "a"))
}

// TestCommands: how each program is told its prompt, on a terminal and without one.
func TestCommands(t *testing.T) {
	t.Parallel()
	const (
		message = `/bin/sh -c exec "$@" -- "$(cat "$BOTTLE_PROMPT_FILE")" prompt `
		flag    = `/bin/sh -c exec "$@" --prompt="$(cat "$BOTTLE_PROMPT_FILE")" prompt `
		batch   = `/bin/sh -c exec "$@" -- "$(cat "$BOTTLE_PROMPT_FILE")" </dev/null prompt `
		codex   = "codex exec --dangerously-bypass-approvals-and-sandbox --skip-git-repo-check"
	)
	noTTY := func(r *plan.Request) { r.Terminal = false }
	mode := func(m plan.PromptMode) func(*plan.Request) { return func(r *plan.Request) { r.PromptMode = m } }
	const prompt = "prompt = \"-x\"\n"
	for _, test := range []struct {
		template, agent string
		change          func(*plan.Request)
		want            string
	}{
		{"claude", "", nil, "claude --dangerously-skip-permissions"},
		{"claude", prompt, nil, message + "claude --dangerously-skip-permissions"},
		{"claude", prompt, noTTY, batch + "claude --dangerously-skip-permissions --print"},
		{"claude", "", noTTY, "claude --dangerously-skip-permissions --print"},
		{"claude", "prompt_file = \"p.md\"\n", mode(plan.PromptBatch), batch + "claude --dangerously-skip-permissions --print"},
		{"claude", prompt, func(r *plan.Request) { r.Terminal, r.PromptMode = false, plan.PromptInteractive }, message + "claude --dangerously-skip-permissions"},
		{"codex", prompt, nil, message + "codex --dangerously-bypass-approvals-and-sandbox"},
		{"codex", prompt, noTTY, batch + codex},
		{"opencode", prompt, nil, flag + "opencode --auto"},
		{"opencode", prompt, noTTY, batch + "opencode run --auto"},
		{"shell", prompt, nil, "/bin/bash -l"},
		{"shell", prompt, noTTY, "/bin/bash -l"},
		{"claude", prompt + "command = [\"claude\", \"--model\", \"opus\"]\n", noTTY, "claude --model opus"},
	} {
		p, err := resolve(t, agentIn(test.template, "", test.agent), test.change)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.Command, " "); got != test.want {
			t.Errorf("%s %q:\n%s, want\n%s", test.template, test.agent, got, test.want)
		}
	}
	_, err := resolve(t, agentIn("claude", "", ""), mode(plan.PromptBatch))
	compare(t, "batch without a prompt", err, "agents.a: batch mode works on a prompt, and there is none", `write in [agents.a]: prompt = "..."`)
}

// TestSettings: the supervise tools and the gateway are in a program's settings exactly when
// the manifest has them.
func TestSettings(t *testing.T) {
	t.Parallel()
	for template, base := range map[string]string{"claude": "", "codex": "/v1", "opencode": "/v1"} {
		all := func(bottle, agent string) string {
			p, err := resolve(t, agentIn(template, bottle, agent), nil)
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			for _, file := range p.Files {
				text.WriteString(file.Text)
			}
			for _, env := range p.Env {
				if env.Name == "ANTHROPIC_BASE_URL" {
					text.WriteString(env.Value)
				}
			}
			return text.String()
		}
		with := all("supervise = true", "base_url = \"https://api.example.com"+base+"\"\n")
		without := all("", "")
		for _, want := range []string{"http://127.0.0.1:9100/mcp", "https://api.example.com" + base} {
			if !strings.Contains(with, want) || strings.Contains(without, want) {
				t.Errorf("%s: %q should be in\n%s\nand not in\n%s", template, want, with, without)
			}
		}
	}
}

// TestBaseURL: a gateway is one of the bottle's own routed hosts.
func TestBaseURL(t *testing.T) {
	t.Parallel()
	_, err := resolve(t, agentIn("claude", "", "base_url = \"https://other.example.com:8443/v1\"\n"), nil)
	compare(t, "no route", err, "agents.a.base_url: other.example.com:8443 is no routed host of bottle b",
		`write a route: [[bottles.b.egress.routes]] with host = "other.example.com:8443", methods = ["GET", "POST"], paths = ["/v1/"] and auth`)
	_, err = resolve(t, agentIn("shell", "", "base_url = \"https://api.example.com\"\n"), nil)
	compare(t, "shell", err, "agents.a.base_url: template shell has no use for it", "")
	plain := strings.Replace(agentIn("claude", "", "base_url = \"https://api.example.com\"\n"), "methods = [\"GET\", \"POST\"]\npaths = [\"/v1/\"]\nauth = { header = \"X-API-Key\", token = \"env:KEY\" }\n", "", 1)
	_, err = resolve(t, plain, nil)
	compare(t, "plain", err, "agents.a.base_url: api.example.com is no routed host of bottle b",
		`write a route: [[bottles.b.egress.routes]] with host = "api.example.com", methods = ["GET", "POST"], paths = ["/"] and auth`)
	reads := strings.Replace(agentIn("claude", "", "base_url = \"https://api.example.com\"\n"), `["GET", "POST"]`, `["GET"]`, 1)
	_, err = resolve(t, reads, nil)
	compare(t, "reads", err, "agents.a.base_url: the route of api.example.com does not allow POST", `write in the route of api.example.com: methods = ["GET", "POST"]`)
}

// TestPlaceholder: claude is told the kind of credential that the route of its API wants.
func TestPlaceholder(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"": "CLAUDE_CODE_OAUTH_TOKEN", "base_url = \"https://api.example.com\"\n": "ANTHROPIC_API_KEY",
	} {
		p, err := resolve(t, agentIn("claude", "", agent), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, env := range p.Env {
			if env.Value == plan.Placeholder {
				got = append(got, env.Name)
			}
		}
		if !slices.Equal(got, []string{want}) {
			t.Errorf("%q: %q, want %s", agent, got, want)
		}
	}
}

// TestSuggestions: rule 7, a template suggests no route without methods and paths, and no
// template suggests all paths.
func TestSuggestions(t *testing.T) {
	t.Parallel()
	for _, template := range manifest.Templates() {
		for _, route := range plan.Suggestions(template) {
			if len(route.Methods) == 0 || len(route.Paths) == 0 || slices.Contains(route.Paths, "/") || route.Header == "" || route.TokenEnv == "" || route.HowToGet == "" {
				t.Errorf("%s: %+v", template, route)
			}
		}
	}
}
