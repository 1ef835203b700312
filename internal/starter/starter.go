// Package starter writes the first bottle.toml of a person: commented, and ready to run.
//
// Invariants: it is pure; what it writes loads and plans; suggested routes have explicit
// methods and paths; there is no credential in it, only where one is found.
package starter

import (
	"fmt"
	"slices"
	"strings"

	"bottle.internal/internal/plan"
)

// Options say what is written.
type Options struct {
	Template string // one of Templates
	Try      bool   // API and repository are doubles that bottle runs: offline, no credential
}

// Templates are those that a file can be written for. The demo has its own, in the source.
func Templates() []string { return []string{"claude", "codex", "opencode", "shell"} }

// Manifest is the text of the file.
func Manifest(o Options) (string, error) {
	if !slices.Contains(Templates(), o.Template) {
		return "", fmt.Errorf("there is no template %q to begin with; templates: %s", o.Template, strings.Join(Templates(), ", "))
	}
	w := &writer{routes: plan.Suggestions(o.Template)}
	if o.Try {
		w.add(header, o.Template+" --try")
		w.tryBottle()
	} else {
		w.add(header, o.Template)
		w.bottle()
	}
	w.agent(o)
	return w.String(), nil
}

// Exports are the variables that must be set before the agent starts, with a way to get each.
func Exports(o Options) []string {
	var lines []string
	if o.Try {
		return nil
	}
	for _, route := range plan.Suggestions(o.Template) {
		lines = append(lines, exportLine(route))
	}
	return lines
}

func exportLine(route plan.Suggestion) string {
	return fmt.Sprintf("export %s=... # %s", route.TokenEnv, route.HowToGet)
}

type writer struct {
	strings.Builder
	routes []plan.Suggestion
}

func (w *writer) add(format string, args ...any) { fmt.Fprintf(&w.Builder, format, args...) }

const header = `# What your agents may do: a bottle says what may be reached and with which credentials, an
# agent says what runs in it. Written by: bottle init --template %s
# docs/manifest.md has every field. "bottle plan AGENT" shows what this file means.
# An editor completes and checks it: bottle schema --help

`

// bottle is the form for real work.
func (w *writer) bottle() {
	w.add(`[bottles.dev]
# The agent may ask for more; you answer: bottle supervise
supervise = true
`)
	for _, route := range w.routes {
		w.add(`
# Its model's API. Each request is checked by host, method and path, and the credential is
# added outside the VM: the agent only sees a placeholder. Bodies are not looked at, so
# everything that the agent can read may be sent to this host.
[[bottles.dev.egress.routes]]
host = %q
methods = %s
paths = %s
`, route.Host, list(route.Methods), list(route.Paths))
		w.add(`# The credential stays on this machine. Before "bottle start", type:
#   %s
# It can come from elsewhere: token = "file:~/.config/token", token = { cmd = ["pass", "token"] }
[bottles.dev.egress.routes.auth]
header = %q
`, exportLine(route), route.Header)
		if route.Scheme != "" {
			w.add("scheme = %q\n", route.Scheme)
		}
		w.add("token = \"env:%s\"\n", route.TokenEnv)
	}
	w.add("%s", ownRepository)
}

const ownRepository = `
# A repository behind the git gate: each push is scanned for secrets before it is forwarded,
# and goes to branches bottle/... only. Take the comment signs away, and
#   ssh-keygen -t ed25519 -N '' -f ~/.ssh/app_deploy   # a deploy key for this repository alone
#   ssh-keyscan github.com                             # compare with the published key
#
# [[bottles.dev.git.remotes]]
# name = "app"
# upstream = "ssh://git@github.com/me/app.git"
# identity_file = "~/.ssh/app_deploy"
# known_host_key = "github.com ssh-ed25519 AAAA..."
#
# [bottles.dev.git.user] # the author of the agent's commits
# name = "Agent"
# email = "agent@example.com"

`

// tryBottle is the form without any network and credential.
func (w *writer) tryBottle() {
	echo, model := `"git.bottle.test"`, ""
	if len(w.routes) > 0 {
		echo = `"model.bottle.test", ` + echo
		model = `# Under this name bottle plays the API of a model, from a short script: it makes a change,
# pushes it, and asks what may be reached.
model = "model.bottle.test"
`
	}
	w.add(`[bottles.dev]
# Names of a small server that bottle runs beside the agent. Nothing leaves this machine.
echo = [%s]
%s# The agent may ask for more; you answer: bottle supervise
supervise = true
`, echo, model)
	if len(w.routes) > 0 {
		w.add("%s", modelRoute)
	}
	w.add("%s", tryRepository)
}

const modelRoute = `
# Each request is checked, and the credential is added outside the VM: the agent only sees a
# placeholder. This one is made at every launch; yours would be "env:API_TOKEN".
[[bottles.dev.egress.routes]]
host = "model.bottle.test"
address = "private"
methods = ["GET", "POST"]
paths = ["/v1/"]

[bottles.dev.egress.routes.auth]
header = "Authorization"
scheme = "Bearer"
token = { cmd = ["sh", "-c", "od -An -N16 -tx1 /dev/urandom | tr -d ' \\n'"] }
`

const tryRepository = `
# A repository behind the git gate: each push is scanned for secrets before it is forwarded.
[[bottles.dev.git.remotes]]
name = "app"
upstream = "ssh://git@git.bottle.test/app.git"

[bottles.dev.git.user] # the author of the agent's commits
name = "Agent"
email = "agent@bottle.test"

`

func (w *writer) agent(o Options) {
	w.add("[agents.%s]\nbottle = \"dev\"\ntemplate = %q\n", o.Template, o.Template)
	switch {
	case len(w.routes) == 0:
	case o.Try:
		w.add(`base_url = %q # where its model is, by a route of the bottle
prompt = "Clone ssh://git@git.bottle.test/app.git, make a small change, push it, and say what you may reach."
`, "https://model.bottle.test"+plan.BasePath(o.Template))
	default:
		w.add(`# A gateway instead of the provider's own API, by a route of the bottle:
# base_url = %q
# The first message. Without a terminal the agent works on it and ends.
# prompt = "Look at the repository and fix the failing test."
`, "https://gateway.example.com"+plan.BasePath(o.Template))
	}
}

// list is an inline list of TOML.
func list(items []string) string {
	quoted := make([]string, 0, len(items))
	for _, item := range items {
		quoted = append(quoted, fmt.Sprintf("%q", item))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
