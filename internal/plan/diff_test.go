package plan_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/plan"
)

// whole is a plan that has something of everything.
func whole(t testing.TB) plan.Plan {
	t.Helper()
	set := load(t, everything)
	p, err := plan.Resolve(set, ask("claude"), facts(set, "claude"))
	if err != nil {
		t.Fatal(err)
	}
	p.DemoApproves = []string{"new.bottle.test"}
	return p
}

// clone is a plan as it comes back from the disk.
func clone(t testing.TB, p plan.Plan) plan.Plan {
	t.Helper()
	text, err := p.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var again plan.Plan
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	return again
}

// fields lists every field of a plan, such as "Egress[].Auth.Header".
func fields(kind reflect.Type, prefix string) []string {
	switch kind.Kind() {
	case reflect.Pointer:
		return fields(kind.Elem(), prefix)
	case reflect.Slice:
		if kind.Elem().Kind() == reflect.Struct {
			return fields(kind.Elem(), prefix+"[]")
		}
	case reflect.Struct:
		var list []string
		for field := range kind.Fields() {
			list = append(list, fields(field.Type, strings.TrimPrefix(prefix+"."+field.Name, "."))...)
		}
		return list
	}
	return []string{prefix}
}

// difference is what a change of one field of [whole] comes to.
type difference struct {
	change func(*plan.Plan)
	want   string // the lines of Text
	back   string // effects of the way back, one letter each
}

const (
	github = "host api.github.com:443 "
	claude = "host api.anthropic.com:443 "
	line19 = " (bottle.toml:20)\n"
	line29 = " (bottle.toml:30)\n"
	line62 = " (bottle.toml:63)\n"
	line90 = " (bottle.toml:91)\n"
)

// ignored are the fields that are no difference, and why.
func ignored() map[string]string {
	const copied = "what was copied in at the start is not of the manifest"
	list := map[string]string{
		"Prompt.Guest": "where the prompt goes is the template's",
		"VM.Name":      "it follows from the identity", "VM.Note": "it follows from the tool",
		"Daemons": "they follow from routes, remotes and supervise", "Ports[].Daemon": "as the daemons", "Ports[].Guest": "as the daemons",
		"Egress[].EchoCA": "it follows from the echo names", "Git.Remotes[].Echo": "it follows from the echo names",
		"Manifest.At": "a place", "Env[].At": "a place", "Firewall.Hosts[].At": "a place", "Egress[].At": "a place",
		"Git.Remotes[].At": "a place", "Git.User.At": "a place", "At": "places",
		"Firewall.Bottle": "a place", "Git.Bottle": "a place",
		"Labels": "they follow from the identity", "Warnings": "words about the rest",
	}
	for _, name := range fields(reflect.TypeFor[plan.Workspace](), "Workspace") {
		list[name] = copied
	}
	return list
}

func differences() map[string]difference {
	all := map[string]difference{}
	for _, group := range []map[string]difference{agentDifferences(), routeDifferences(), gitDifferences()} {
		maps.Copy(all, group)
	}
	return all
}

func agentDifferences() map[string]difference {
	return map[string]difference{
		"Format":           {func(p *plan.Plan) { p.Format = 2 }, "  changes  format: 1 -> 2\n", "c"},
		"Identity":         {func(p *plan.Plan) { p.Identity = "claude-00000" }, "  changes  identity: claude-x7k2p -> claude-00000\n", "c"},
		"Agent":            {func(p *plan.Plan) { p.Agent = "x" }, "  changes  agent: claude -> x" + line90, "c"},
		"Bottle":           {func(p *plan.Plan) { p.Bottle = "x" }, "  changes  bottle: dev -> x" + line90, "c"},
		"Template":         {func(p *plan.Plan) { p.Template = "x" }, "  changes  template: claude -> x" + line90, "c"},
		"Manifest.Path":    {func(p *plan.Plan) { p.Manifest.Path = "x" }, "  changes  manifest: bottle.toml -> x\n", "c"},
		"Manifest.FromCwd": {func(p *plan.Plan) { p.Manifest.FromCwd = true }, "! widens   manifest is not your own: off -> on" + line90, "n"},
		"Command":          {func(p *plan.Plan) { p.Command = []string{"a b"} }, `  changes  command: claude --model opus -> "a b"` + line90, "c"},
		"Workdir":          {func(p *plan.Plan) { p.Workdir = "/x" }, "  changes  workdir: /home/agent/src -> /x" + line90, "c"},
		"StateDirs":        {func(p *plan.Plan) { p.StateDirs = nil }, "  changes  state directories: /home/agent/.claude -> none\n", "c"},
		"Prompt.Text":      {func(p *plan.Plan) { p.Prompt.Text = "x\ny\n" }, "  changes  prompt: 2 lines -> 2 lines of another text" + line90, "c"},
		"Prompt.File":      {func(p *plan.Plan) { p.Prompt.File = "p.md" }, "! widens   prompt file: none -> p.md" + line90, "n"},
		"Prompt.Root":      {func(p *plan.Plan) { p.Prompt.Root = "" }, "! widens   prompt file stays in: . -> any directory" + line90, "n"},
		"Skills[].Name": {
			func(p *plan.Plan) { p.Skills[0].Name = "x" },
			"  narrows  skill review: ~/skills/review in ~/skills -> none" + line90 + "! widens   skill x: none -> ~/skills/review in ~/skills" + line90, "wn",
		},
		"Skills[].Dir":  {func(p *plan.Plan) { p.Skills[0].Dir = "/x" }, "! widens   skill review: ~/skills/review in ~/skills -> /x in ~/skills" + line90, "w"},
		"Skills[].Root": {func(p *plan.Plan) { p.Skills[0].Root = "/" }, "! widens   skill review: ~/skills/review in ~/skills -> ~/skills/review in /" + line90, "w"},
		"Files[].Path": {
			func(p *plan.Plan) { p.Files[0].Path = "/x" },
			"  changes  settings file /home/agent/.claude.json: written by the template -> none\n  changes  settings file /x: none -> written by the template\n", "cc",
		},
		"Files[].Text": {func(p *plan.Plan) { p.Files[0].Text = "x" }, "  changes  settings file /home/agent/.claude.json: a text -> another text\n", "c"},
		"Env[].Name": {
			func(p *plan.Plan) { envOf(p, "ASK").Name = "X" },
			"  narrows  env ASK: asked at the start (ASK), visible to the agent -> none\n! widens   env X: none -> asked at the start (ASK), visible to the agent (bottle.toml:12)\n", "wn",
		},
		"Env[].Source": {
			func(p *plan.Plan) { envOf(p, "TZ").Source = "host" },
			"! widens   env TZ: written in the manifest -> the host's , visible to the agent (bottle.toml:3)\n", "n",
		},
		"Env[].From": {
			func(p *plan.Plan) { envOf(p, "ORG").From, envOf(p, "ASK").From = "X", "really?" },
			"  changes  env ASK: asked at the start (ASK), visible to the agent -> asked at the start (really?), visible to the agent (bottle.toml:12)\n" +
				"! widens   env ORG: the host's ORG, visible to the agent -> the host's X, visible to the agent (bottle.toml:12)\n", "cw",
		},
		"Env[].Value": {
			func(p *plan.Plan) { envOf(p, "TZ").Value, envOf(p, "HTTP_PROXY").Value = "CET", "x" },
			"  changes  env TZ: written in the manifest -> written in the manifest (another value) (bottle.toml:3)\n", "c",
		},
		"Image.Recipe": {func(p *plan.Plan) { p.Image.Recipe = "x" }, "  changes  image: agent 0a0a0a0a0a0a -> x 0a0a0a0a0a0a\n", "c"},
		"Image.Key":    {func(p *plan.Plan) { p.Image.Key = "" }, "  changes  image: agent 0a0a0a0a0a0a -> agent\n", "c"},
		"Image.Tools":  {func(p *plan.Plan) { p.Image.Tools = nil }, "  changes  image tools: claude -> none\n", "c"},
		"VM.Tool":      {func(p *plan.Plan) { p.VM.Tool = "smolvm" }, "  narrows  vm tool: smolvm-lite -> smolvm\n", "w"},
		"VM.Version":   {func(p *plan.Plan) { p.VM.Version = "2" }, "  changes  vm tool's version: 1.9.3 -> 2\n", "c"},
		"VM.CPUs":      {func(p *plan.Plan) { p.VM.CPUs = 1 }, "  changes  cpus: 4 -> 1 (bottle.toml:16)\n", "c"},
		"VM.MemoryMiB": {func(p *plan.Plan) { p.VM.MemoryMiB = 512 }, "  changes  memory: 4096 MiB -> 512 MiB (bottle.toml:15)\n", "c"},
		"VM.DiskGiB":   {func(p *plan.Plan) { p.VM.DiskGiB = 1 }, "  changes  disk: 20 GiB -> 1 GiB (bottle.toml:17)\n", "c"},
		"Supervise":    {func(p *plan.Plan) { p.Supervise = false }, "  narrows  supervise: on -> off (bottle.toml:7)\n", "w"},
		"Model":        {func(p *plan.Plan) { p.Model = "model.bottle.test" }, "  changes  played model: api.bottle.test -> model.bottle.test\n", "c"},
		"OnCanary":     {func(p *plan.Plan) { p.OnCanary = "warn" }, "! widens   on_canary: cut -> warn (bottle.toml:9)\n", "n"},
		"Echo":         {func(p *plan.Plan) { p.Echo = nil }, "  changes  echo names: echo.bottle.test unlisted.bottle.test api.bottle.test -> none (bottle.toml:10)\n", "c"},
		"DemoApproves": {func(p *plan.Plan) { p.DemoApproves = nil }, "  narrows  approved by the demo itself: new.bottle.test -> none\n", "w"},
	}
}

func routeDifferences() map[string]difference {
	return map[string]difference{
		"Firewall.Engine": {func(p *plan.Plan) { p.Firewall.Engine = "pipelock" }, "! widens   firewall engine: builtin -> pipelock\n", "w"},
		"Firewall.Hosts[].Host": {
			func(p *plan.Plan) { hostOf(p, "mirror.example.com").Host = "x.test" },
			"  narrows  host mirror.example.com:80: [http, in clear] -> not reachable\n! widens   host x.test:80: not reachable -> [http, in clear] (bottle.toml:48)\n", "wn",
		},
		"Firewall.Hosts[].Port": {
			func(p *plan.Plan) { hostOf(p, "mirror.example.com").Port = 81 },
			"  narrows  host mirror.example.com:80: [http, in clear] -> not reachable\n! widens   host mirror.example.com:81: not reachable -> [http, in clear] (bottle.toml:48)\n", "wn",
		},
		"Firewall.Hosts[].Scheme": {
			func(p *plan.Plan) { hostOf(p, "mirror.example.com").Scheme = "https" },
			"! widens   host mirror.example.com:80 scheme: http -> https (bottle.toml:48)\n", "w",
		},
		"Firewall.Hosts[].Private": {
			func(p *plan.Plan) { hostOf(p, "mirror.example.com").Private = true },
			"! widens   host mirror.example.com:80 private addresses: none -> any private address (bottle.toml:48)\n", "n",
		},
		"Firewall.Hosts[].AllowPrivate": {
			func(p *plan.Plan) { hostOf(p, "mirror.example.com").AllowPrivate = []string{"10.0.0.0/8"} },
			"! widens   host mirror.example.com:80 private addresses: none -> 10.0.0.0/8 (bottle.toml:48)\n", "n",
		},
		"Firewall.Hosts[].Mode": {
			func(p *plan.Plan) { hostOf(p, "keys.example.com").Mode = "plain" },
			"! widens   host keys.example.com:443: [auth: X-Api-Key from file:~/.config/key] [GET ALL PATHS] -> " +
				"any method and path, unread [auth: X-Api-Key from file:~/.config/key] [GET ALL PATHS] (bottle.toml:42)\n", "w",
		},
		"Egress[].Host": { // without its route, a host is taken for a plain one
			func(p *plan.Plan) { routeOf(p, "files.example.com").Host = "x" },
			"! widens   host files.example.com:8443: [private addresses: 10.1.0.0/16, fd00::/8] [GET HEAD ALL PATHS] -> [private addresses: 10.1.0.0/16, fd00::/8] (bottle.toml:37)\n", "n",
		},
		"Egress[].Port": {
			func(p *plan.Plan) { routeOf(p, "files.example.com").Port = 1 },
			"! widens   host files.example.com:8443: [private addresses: 10.1.0.0/16, fd00::/8] [GET HEAD ALL PATHS] -> [private addresses: 10.1.0.0/16, fd00::/8] (bottle.toml:37)\n", "n",
		},
		"Egress[].Methods": {func(p *plan.Plan) { routeOf(p, "api.github.com").Methods = []string{"GET"} }, "  narrows  " + github + "methods: GET POST -> GET" + line29, "w"},
		"Egress[].Paths":   {func(p *plan.Plan) { routeOf(p, "api.github.com").Paths = []string{"/repos/"} }, "! widens   " + github + "paths: /repos/me/app -> /repos/" + line29, "n"},
		"Egress[].Auth.Header": {
			func(p *plan.Plan) { routeOf(p, "api.github.com").Auth.Header = "X" },
			"  changes  " + github + "credential's header: Authorization  -> X " + line29, "c",
		},
		"Egress[].Auth.Scheme": {
			func(p *plan.Plan) { routeOf(p, "api.github.com").Auth.Scheme = "Bearer" },
			"  changes  " + github + "credential's header: Authorization  -> Authorization Bearer" + line29, "c",
		},
		"Egress[].Auth.Source": {
			func(p *plan.Plan) { routeOf(p, "api.anthropic.com").Auth.Source = "file" },
			"! widens   " + claude + "credential: env:CLAUDE_CODE_OAUTH_TOKEN -> file:CLAUDE_CODE_OAUTH_TOKEN" + line19, "w",
		},
		"Egress[].Auth.Name": {
			func(p *plan.Plan) { routeOf(p, "api.anthropic.com").Auth.Name = "X" },
			"! widens   " + claude + "credential: env:CLAUDE_CODE_OAUTH_TOKEN -> env:X" + line19, "w",
		},
		"Egress[].Auth.Cmd": {
			func(p *plan.Plan) { routeOf(p, "api.github.com").Auth.Cmd[2] = "x" },
			"! widens   " + github + "credential: cmd:gh auth token -> cmd:gh auth x" + line29, "w",
		},
		"Egress[].Private": {
			func(p *plan.Plan) { routeOf(p, "api.github.com").Private = true },
			"! widens   " + github + "private addresses: none -> any private address" + line29, "n",
		},
		"Egress[].AllowPrivate": {
			func(p *plan.Plan) { routeOf(p, "api.github.com").AllowPrivate = []string{"fd00::/8"} },
			"! widens   " + github + "private addresses: none -> fd00::/8" + line29, "n",
		},
		"Egress[].WebSocket": {func(p *plan.Plan) { routeOf(p, "api.github.com").WebSocket = true }, "! widens   " + github + "websocket: off -> on" + line29, "n"},
		"Egress[].PassHeaders": {
			func(p *plan.Plan) { routeOf(p, "api.github.com").PassHeaders = []string{"X-Y"} },
			"! widens   " + github + "pass_headers: none -> X-Y" + line29, "n",
		},
		"Egress[].AllowMint": {func(p *plan.Plan) { routeOf(p, "api.anthropic.com").AllowMint = false }, "  narrows  " + claude + "allow_mint: on -> off" + line19, "w"},
		"Egress[].BypassesGitGate": {
			func(p *plan.Plan) { routeOf(p, "api.github.com").BypassesGitGate = false },
			"  narrows  " + github + "bypasses_git_gate: on -> off" + line29, "w",
		},
		"Egress[].UpstreamCA": {
			func(p *plan.Plan) { routeOf(p, "api.anthropic.com").UpstreamCA = "x.pem" },
			"! widens   " + claude + "upstream_ca: ca.pem -> x.pem" + line19, "w",
		},
	}
}

func gitDifferences() map[string]difference {
	const app = "git remote app "
	const url = "ssh://git@github.com:22/me/app.git"
	return map[string]difference{
		"Git.Remotes[].Name": {
			func(p *plan.Plan) { p.Git.Remotes[0].Name = "z" },
			"  narrows  git remote app: github.com:22, push to bottle/claude-x7k2p/*, fix/*, each after your approval -> none\n" +
				"! widens   git remote z: none -> github.com:22, push to bottle/claude-x7k2p/*, fix/*, each after your approval" + line62, "wn",
		},
		"Git.Remotes[].Host": {func(p *plan.Plan) { p.Git.Remotes[0].Host = "x" }, "! widens   " + app + "upstream: " + url + " -> ssh://git@x:22/me/app.git" + line62, "w"},
		"Git.Remotes[].Port": {func(p *plan.Plan) { p.Git.Remotes[0].Port = 1 }, "! widens   " + app + "upstream: " + url + " -> ssh://git@github.com:1/me/app.git" + line62, "w"},
		"Git.Remotes[].User": {func(p *plan.Plan) { p.Git.Remotes[0].User = "x" }, "! widens   " + app + "upstream: " + url + " -> ssh://x@github.com:22/me/app.git" + line62, "w"},
		"Git.Remotes[].Path": {func(p *plan.Plan) { p.Git.Remotes[0].Path = "/x" }, "! widens   " + app + "upstream: " + url + " -> ssh://git@github.com:22/x" + line62, "w"},
		"Git.Remotes[].IdentityFile": {
			func(p *plan.Plan) { p.Git.Remotes[0].IdentityFile = "/x" },
			"! widens   " + app + "identity_file: ~/.ssh/app_deploy -> /x" + line62, "w",
		},
		"Git.Remotes[].KnownHostKey": {
			func(p *plan.Plan) { p.Git.Remotes[0].KnownHostKey = "x" },
			"! widens   " + app + "known_host_key: github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl -> x" + line62, "w",
		},
		"Git.Remotes[].Private": {func(p *plan.Plan) { p.Git.Remotes[0].Private = true }, "! widens   " + app + "private addresses: none -> any private address" + line62, "n"},
		"Git.Remotes[].AllowPrivate": {
			func(p *plan.Plan) { p.Git.Remotes[0].AllowPrivate = []string{"10.0.0.0/8"} },
			"! widens   " + app + "private addresses: none -> 10.0.0.0/8" + line62, "n",
		},
		"Git.Remotes[].Branches": {
			func(p *plan.Plan) { p.Git.Remotes[0].Branches = []string{"fix/*"} },
			"  narrows  " + app + "branches: bottle/claude-x7k2p/* fix/* -> fix/*" + line62, "w",
		},
		"Git.Remotes[].Approve": {func(p *plan.Plan) { p.Git.Remotes[0].Approve = false }, "! widens   " + app + "approve: on -> off" + line62, "n"},
		"Git.Remotes[].Protect": {func(p *plan.Plan) { p.Git.Remotes[0].Protect = nil }, "! widens   " + app + "protect: .github/** -> none" + line62, "n"},
		"Git.User.Name":         {func(p *plan.Plan) { p.Git.User.Name = "x" }, "  changes  git user: Agent <agent@example.com> -> x <agent@example.com> (bottle.toml:87)\n", "c"},
		"Git.User.Email":        {func(p *plan.Plan) { p.Git.User = nil }, "  changes  git user: Agent <agent@example.com> -> none\n", "c"},
	}
}

func envOf(p *plan.Plan, name string) *plan.Env {
	return &p.Env[slices.IndexFunc(p.Env, func(e plan.Env) bool { return e.Name == name })]
}

func hostOf(p *plan.Plan, name string) *plan.Host {
	return &p.Firewall.Hosts[slices.IndexFunc(p.Firewall.Hosts, func(h plan.Host) bool { return h.Host == name })]
}

func routeOf(p *plan.Plan, name string) *plan.Route {
	return &p.Egress[slices.IndexFunc(p.Egress, func(r plan.Route) bool { return r.Host == name })]
}

// effects is the first letter of each.
func effects(changes plan.Changes) string {
	var b strings.Builder
	for _, change := range changes {
		b.WriteByte(change.Effect[0])
	}
	return b.String()
}

// TestDiff changes every field of a plan. A field that is in neither table is new: decide
// what it means for the agent's power.
func TestDiff(t *testing.T) {
	t.Parallel()
	rows, skip := differences(), ignored()
	all := fields(reflect.TypeFor[plan.Plan](), "")
	for _, name := range all {
		_, told := rows[name]
		if _, quiet := skip[name]; told == quiet {
			t.Errorf("the field %s has to be in one of differences() and ignored()", name)
		}
	}
	if len(all) != len(rows)+len(skip) {
		t.Errorf("%d fields, but %d rows: one of them is about a field that is gone", len(all), len(rows)+len(skip))
	}
	for name, row := range rows {
		before, after := whole(t), whole(t)
		if name == "Prompt.Root" {
			before.Prompt, after.Prompt = plan.Prompt{File: "p.md", Root: "."}, plan.Prompt{File: "p.md", Root: "."}
		}
		row.change(&after)
		got := plan.Diff(before, after)
		if diff := cmp.Diff(row.want, got.Text()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got.Empty() || got.Widens() != strings.Contains(row.want, "! widens ") {
			t.Errorf("%s: Empty %v, Widens %v", name, got.Empty(), got.Widens())
		}
		if back := effects(plan.Diff(after, before)); back != row.back {
			t.Errorf("%s: the way back is %q, want %q", name, back, row.back)
		}
	}
}

// TestDiffIgnores: where things are written, and what follows from the rest.
func TestDiffIgnores(t *testing.T) {
	t.Parallel()
	before, after := whole(t), whole(t)
	moved := load(t, everything)
	p, err := plan.Resolve(moved, ask("claude"), facts(moved, "claude"))
	if err != nil {
		t.Fatal(err)
	}
	p.DemoApproves = before.DemoApproves
	if changes := plan.Diff(clone(t, before), p); !changes.Empty() {
		t.Errorf("the same manifest, and the plan from the disk:\n%s", changes.Text())
	}
	after.Manifest.At, after.At, after.Git.User.At, after.Firewall.Bottle, after.Git.Bottle = "x:1", nil, "x:1", "x", "x"
	after.Labels, after.Warnings, after.Daemons, after.Ports = nil, []string{"x"}, nil, nil
	after.VM.Name, after.VM.Note, after.Prompt.Guest = "x", "x", "x"
	for i := range after.Env {
		after.Env[i].At = "x:1"
	}
	for i := range after.Egress {
		after.Egress[i].At, after.Firewall.Hosts[i].At, after.Egress[i].EchoCA = "x:1", "x:1", !after.Egress[i].EchoCA
	}
	for i := range after.Git.Remotes {
		after.Git.Remotes[i].At, after.Git.Remotes[i].Echo = "x:1", !after.Git.Remotes[i].Echo
	}
	if changes := plan.Diff(before, after); !changes.Empty() {
		t.Errorf("got:\n%s", changes.Text())
	}
	slices.Reverse(after.Egress)
	slices.Reverse(after.Git.Remotes)
	slices.Reverse(after.Git.Remotes[3].Branches)
	if changes := plan.Diff(before, after); !changes.Empty() {
		t.Errorf("an order is a difference:\n%s", changes.Text())
	}
}

// TestDiffOfLists: a list that only says the same in other words widens nothing.
func TestDiffOfLists(t *testing.T) {
	t.Parallel()
	type lists struct{ paths, ranges []string }
	for _, test := range []struct {
		name          string
		before, after lists
		private       [2]bool
		want          string
	}{
		{name: "a prefix takes its parts in", before: lists{paths: []string{"/v1", "/v1/x"}}, after: lists{paths: []string{"/v1"}}, want: "c"},
		{name: "not at the border of a segment", before: lists{paths: []string{"/v1"}}, after: lists{paths: []string{"/v10"}}, want: "w"},
		{name: "a slash at the end leaves the directory itself out", before: lists{paths: []string{"/v1/"}}, after: lists{paths: []string{"/v1"}}, want: "w"},
		{name: "and takes it away", before: lists{paths: []string{"/v1"}}, after: lists{paths: []string{"/v1/"}}, want: "n"},
		{name: "one more and one less", before: lists{paths: []string{"/a"}}, after: lists{paths: []string{"/b"}}, want: "w"},
		{name: "a smaller range", before: lists{ranges: []string{"10.0.0.0/8"}}, after: lists{ranges: []string{"10.1.0.0/16"}}, want: "n"},
		{name: "a larger range", before: lists{ranges: []string{"10.1.0.0/16"}}, after: lists{ranges: []string{"10.0.0.0/8"}}, want: "w"},
		{name: "a range of all private ones", private: [2]bool{true, false}, after: lists{ranges: []string{"10.0.0.0/8"}}, want: "n"},
		{name: "a range beside them", private: [2]bool{true, false}, after: lists{ranges: []string{"100.64.0.0/10"}}, want: "w"},
	} {
		planOf := func(l lists, private bool) plan.Plan {
			return plan.Plan{
				Firewall: plan.Firewall{Hosts: []plan.Host{{Host: "a", Port: 443, Scheme: "https", Mode: "routed", Private: private, AllowPrivate: l.ranges}}},
				Egress:   []plan.Route{{Host: "a", Port: 443, Paths: l.paths}},
			}
		}
		changes := plan.Diff(planOf(test.before, test.private[0]), planOf(test.after, test.private[1]))
		if got := effects(changes); got != test.want {
			t.Errorf("%s: %q, want %q\n%s", test.name, got, test.want, changes.Text())
		}
	}
}

// TestDiffOfCredentials: a plain tunnel that becomes a route is less, unless it brings a
// credential along.
func TestDiffOfCredentials(t *testing.T) {
	t.Parallel()
	plain := plan.Plan{Firewall: plan.Firewall{Hosts: []plan.Host{{Host: "a.test", Port: 443, Scheme: "https", Mode: "plain"}}}}
	routed := func(auth *plan.Auth) plan.Plan {
		p := clone(t, plain)
		p.Firewall.Hosts[0].Mode = "routed"
		p.Egress = []plan.Route{{Host: "a.test", Port: 443, Methods: []string{"GET"}, Paths: []string{"/"}, Auth: auth}}
		return p
	}
	auth := routed(&plan.Auth{Header: "Authorization", Scheme: "Bearer", Source: "env", Name: "T"})
	for _, test := range []struct {
		before, after plan.Plan
		want          string
	}{
		{plain, routed(nil), "  narrows  host a.test:443: any method and path, unread -> [GET ALL PATHS]\n"},
		{plain, auth, "! widens   host a.test:443: any method and path, unread -> [auth: Authorization from env:T] [GET ALL PATHS]\n"},
		{routed(nil), auth, "! widens   host a.test:443 credential: none -> env:T\n"},
		{auth, routed(nil), "  narrows  host a.test:443 credential: env:T -> none\n"},
		{auth, plain, "! widens   host a.test:443: [auth: Authorization from env:T] [GET ALL PATHS] -> any method and path, unread\n"},
	} {
		if diff := cmp.Diff(test.want, plan.Diff(test.before, test.after).Text()); diff != "" {
			t.Error(diff)
		}
	}
}

// TestDiffIsOneLineEach: text from a manifest makes no line of its own, and no value of a
// variable is shown.
func TestDiffIsOneLineEach(t *testing.T) {
	t.Parallel()
	after := plan.Plan{
		Command: []string{"a\n! widens   x"}, Workdir: "\x1b[2J\r\n",
		Env: []plan.Env{{Name: "A", Source: "literal", Value: "hunter2"}, {Name: "B", Source: "prompt", From: "x\n  narrows  y"}},
	}
	changes := plan.Diff(plan.Plan{}, after)
	text, err := json.Marshal(changes)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSuffix(changes.Text(), "\n"), "\n"); len(lines) != 4 || len(changes) != 4 {
		t.Errorf("%d lines for %d changes:\n%s", len(lines), len(changes), changes.Text())
	}
	if strings.ContainsAny(changes.Text(), "\x1b\r") || strings.Contains(string(text), "hunter2") {
		t.Errorf("%s\n%q", text, changes.Text())
	}
}
