package why_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	toolask "bottle.internal/internal/ask"
	"bottle.internal/internal/firewall/requestscan"
	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/why"
)

const routes = `[bottles.base]
supervise = true

[[bottles.base.egress.routes]]
host = "api.example.com:8443"
methods = ["GET", "POST"]
paths = ["/v1"]
auth = { header = "Authorization", scheme = "Bearer", token = "env:API_TOKEN" }

[[bottles.base.egress.routes]]
host = "models.example.com:8443"
methods = ["GET", "POST"]
paths = ["/"]
auth = { header = "X-Api-Key", token = "env:MODEL_TOKEN" }

[[bottles.base.egress.routes]]
host = "read.example.com:8443"
paths = ["/"]

[[bottles.base.egress.routes]]
host = "live.example.com:8443"
paths = ["/"]
websocket = true

[[bottles.base.egress.routes]]
host = "plain.example.com"

[[bottles.base.egress.routes]]
host = "mirror.example.com"
scheme = "http"

[[bottles.base.git.remotes]]
name = "app"
upstream = "ssh://git@github.com/me/app.git"
identity_file = "~/.ssh/app_deploy"
known_host_key = "github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

[bottles.dev]
extends = "base"

[agents.dev]
bottle = "dev"
template = "shell"
`

func planOf(t *testing.T, text string) plan.Plan {
	t.Helper()
	set, err := manifest.Load(manifest.Sources{User: manifest.Source{Path: "/home/me/bottle.toml", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Resolve(set, plan.Request{Agent: "dev", Identity: names.Identity("dev-00000"), Asks: true},
		plan.Facts{Unseen: true, FirewallEngine: "builtin", TTY: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func facts(p plan.Plan) why.Facts {
	return why.Facts{Plan: p, Launched: p, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Secrets: &secrets}
}

// secrets is compiled once for all tests.
var secrets requestscan.Scanner

// TestToAllow: what is told to write does allow the request, or the answer says what else
// stands in the way.
func TestToAllow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		question string
		want     string // the lines, or the note that says why there are none
	}{
		{"GET https://evil.test/a/b?x=1", "in /home/me/bottle.toml, write:|  [[bottles.base.egress.routes]]|  host = \"evil.test\"|  methods = [\"GET\"]|  paths = [\"/a/b\"]"},
		{"POST wss://evil.test:444/a%20b/c", "in /home/me/bottle.toml, write:|  [[bottles.base.egress.routes]]|  host = \"evil.test:444\"|  methods = [\"POST\"]|  paths = [\"/\"]|  websocket = true"},
		{"GET http://evil.test/a", "in /home/me/bottle.toml, write:|  [[bottles.base.egress.routes]]|  host = \"evil.test\"|  scheme = \"http\""},
		{"POST https://github.com/a", "in /home/me/bottle.toml, write:|  [[bottles.base.egress.routes]]|  host = \"github.com\"|  methods = [\"POST\"]|  paths = [\"/a\"]|  bypasses_git_gate = true # it can change repositories, past the scan of pushes"},
		{"PUT https://docs.example.org/a", "in /home/me/bottle.toml, write:|  [[bottles.base.egress.routes]]|  host = \"docs.example.org\"|  methods = [\"PUT\"]|  paths = [\"/a\"]|or let the agent ask for it while it runs (egress-allow); you answer with: bottle supervise watch"},
		{"DELETE https://api.example.com:8443/v1", "in /home/me/bottle.toml:5, in the route of api.example.com, write:|  methods = [\"GET\", \"POST\", \"DELETE\"]|or let the agent ask for it while it runs (egress-allow); you answer with: bottle supervise watch"},
		{"GET https://api.example.com:8443/v2/%20", "in /home/me/bottle.toml:5, in the route of api.example.com, write:|  paths = [\"/v1\", \"/v2\"]|or let the agent ask for it while it runs (egress-allow); you answer with: bottle supervise watch"},
		{"POST https://api.example.com:8443/v1/access_tokens", "in /home/me/bottle.toml:5, in the route of api.example.com, write:|  allow_mint = true # the agent would hold a credential that bottle does not know"},
		{"GET wss://api.example.com:8443/v1", "in /home/me/bottle.toml:5, in the route of api.example.com, write:|  websocket = true"},
		{"GET https://b\u00fccher.test./", "bottle why GET https://xn--bcher-kva.test/"},
		{"GET https://u:hunter2@plain.example.com:443/", "bottle why GET https://plain.example.com:443/"},
		{"GET https://1.2.3.4/", ""},
		{"GET https://0x7f.1/", ""},
		{"BREW https://evil.test/", ""},
		{"GET http://mirror.example.com/?token=hunter2", ""},
		{"GET https://api.example.com:8443/v1//x", ""},
	} {
		method, url, _ := strings.Cut(test.question, " ")
		p := planOf(t, routes)
		answer := ask(t, facts(p), method, url)
		if got := strings.Join(answer.ToAllow, "|"); answer.Allowed || got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.question, got, test.want)
		}
		if test.want == "" && len(answer.Notes) == 0 {
			t.Errorf("%s: nothing says that no manifest changes that", test.question)
		}
		if strings.Contains(answer.Text()+fmt.Sprint(answer), "hunter2") {
			t.Errorf("%s: a secret is in %+v", test.question, answer)
		}
		if strings.Contains(test.want, "[[") {
			wider := routes
			for _, line := range answer.ToAllow {
				if strings.HasPrefix(line, "  ") {
					wider = strings.Replace(wider, "\n[[bottles.base.git", "\n"+line+"\n\n[[bottles.base.git", 1)
				}
			}
			if again := ask(t, facts(planOf(t, wider)), method, url); !again.Allowed {
				t.Errorf("%s: what was told to write does not allow it: %s", test.question, again.Text())
			}
		}
	}
	answer := ask(t, facts(planOf(t, routes)), "DELETE", "https://api.example.com:8443/v2")
	if want := "that alone is not enough: api.example.com:8443: DELETE is not among the methods of this route: GET POST"; !slices.Contains(answer.Notes, want) {
		t.Errorf("notes %q, want %q", answer.Notes, want)
	}
}

func ask(t *testing.T, f why.Facts, method, url string) why.Answer {
	t.Helper()
	answer, err := why.Ask(f, why.Request{Method: method, URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// TestApprovals: what was approved while the bottle ran is told with by whom and until when,
// and what waits with the command that answers it.
func TestApprovals(t *testing.T) {
	t.Parallel()
	launched := planOf(t, routes)
	f := facts(launched)
	add := func(allow toolask.Allow, kept bool, ago time.Duration) {
		next, _, err := proposal.Apply(f.Plan, allow, allow.Host)
		if err != nil {
			t.Fatal(err)
		}
		f.Plan = next
		f.Approvals = append(f.Approvals, why.Approval{ID: strings.Repeat("a1", 32), Allow: allow, By: "me", At: f.Now.Add(-ago), Kept: kept})
	}
	add(toolask.Allow{Host: "docs.example.org", Port: 443, Methods: []string{"GET"}, Paths: []string{"/go"}}, false, 3*time.Minute)
	add(toolask.Allow{Host: "api.example.com", Port: 8443, Methods: []string{"DELETE"}, Paths: []string{"/v1"}}, true, 72*time.Hour)
	for question, want := range map[string]string{
		"GET https://docs.example.org/go/x":          "approved 3 min ago by me, this run only (bottle supervise show a1a1a1a1a1a1)",
		"DELETE https://api.example.com:8443/v1/x":   "approved 3 days ago by me, kept for later runs (bottle supervise show a1a1a1a1a1a1)",
		"GET https://api.example.com:8443/v1/x":      "", // as the manifest says
		"GET https://docs.example.org/other":         "",
		"DELETE https://api.example.com:8443/v2":     "",
		"DELETE https://read.example.com:8443/other": "",
	} {
		method, url, _ := strings.Cut(question, " ")
		answer := ask(t, f, method, url)
		if got := answer.Decisive().Approval; got != want || answer.Allowed != (want != "" || strings.HasPrefix(question, "GET https://api")) {
			t.Errorf("%s: allowed %v, %q, want %q", question, answer.Allowed, got, want)
		}
	}
	f.Waiting = []why.Waiting{{ID: strings.Repeat("b2", 32), Allow: toolask.Allow{Host: "api.example.com", Port: 8443, Methods: []string{"PUT"}, Paths: []string{"/"}}}}
	answer := ask(t, f, "PUT", "https://api.example.com:8443/v1")
	if want := "or answer the agent, which asks for it: bottle supervise approve b2b2b2b2b2b2 --with-credential api.example.com"; !slices.Contains(answer.ToAllow, want) {
		t.Errorf("%q, want %q", answer.ToAllow, want)
	}
}

// TestPipelock: its own rules are not ours to evaluate, and it takes up no host while it runs.
func TestPipelock(t *testing.T) {
	t.Parallel()
	p := planOf(t, routes)
	p.Firewall.Engine = "pipelock"
	const note = "this is what the gate in front of pipelock decides; pipelock's own rules on content are not evaluated"
	for _, url := range []string{"https://plain.example.com/", "https://docs.example.org/"} {
		answer := ask(t, facts(p), "GET", url)
		if !slices.Contains(answer.Notes, note) || strings.Contains(answer.Text(), "let the agent ask") {
			t.Errorf("%s: %s", url, answer.Text())
		}
	}
}

// TestAskGit: pushes and fetches, by the rule that the gate itself applies.
func TestAskGit(t *testing.T) {
	t.Parallel()
	f := facts(planOf(t, routes))
	for _, test := range []struct{ remote, branch, want string }{
		{"app", "", "true "},
		{"app", "bottle/dev-00000/topic", "true "},
		{"ssh://git@github.com/me/app.git", "", "true "},
		{"ssh://git@github.com:22/me/app.git", "", "true "},
		{"git@github.com:me/app.git", "", "true "},
		{"app", "main", "false branch only branches bottle/dev-00000/* may be pushed"},
		{"app", "refs/tags/v1", "false branch tags are not allowed"},
		{"app", "a..b", "false ref-name its name has characters that are not allowed"},
		{"ssh://git@github.com/me/other.git", "", "false remote no remote ssh://git@github.com/me/other.git; remotes: app; nothing else leads to a git server over ssh"},
		{"ap", "main", "false remote no remote ap; did you mean app?"},
	} {
		answer := why.AskGit(f, test.remote, test.branch)
		step := answer.Decisive()
		got := fmt.Sprintf("%v %s %s", answer.Allowed, step.Rule, step.Reason)
		if answer.Allowed {
			got = "true "
		}
		if got != test.want {
			t.Errorf("%s %s: %s, want %s", test.remote, test.branch, got, test.want)
		}
	}
	answer := why.AskGit(f, "app", "main")
	if got := strings.Join(answer.ToAllow, "|"); got != `in /home/me/bottle.toml:33, in the remote app, write:|  push.branches = ["bottle/<identity>/*", "main"]` {
		t.Error(got)
	}
}

// FuzzAsk: whatever is typed, the answer is lines of ours.
func FuzzAsk(f *testing.F) {
	for _, question := range questions() {
		method, url, _ := strings.Cut(question, " ")
		f.Add(method, url)
	}
	f.Fuzz(func(t *testing.T, method, url string) {
		if !why.IsURL(url) {
			return
		}
		answer := ask(t, facts(planOf(t, routes)), method, url)
		if strings.ContainsAny(answer.Text(), "\x1b\r\x00") || strings.Count(answer.Text(), "\n") > 20 {
			t.Errorf("%q", answer.Text())
		}
	})
}
