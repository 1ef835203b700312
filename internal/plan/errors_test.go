package plan_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
)

// compare checks the whole error and its hints. want is the problems, then the hints.
func compare(t *testing.T, name string, err error, problems, hints string) {
	t.Helper()
	refused := (*plan.Error)(nil)
	if !errors.As(err, &refused) {
		t.Errorf("%s: %v, want a *plan.Error", name, err)
		return
	}
	if diff := cmp.Diff(problems, err.Error()); diff != "" {
		t.Errorf("%s: problems (-want +got):\n%s", name, diff)
	}
	if diff := cmp.Diff(hints, strings.Join(refused.HintLines(), "\n")); diff != "" {
		t.Errorf("%s: hints (-want +got):\n%s", name, diff)
	}
}

func TestWhichAgent(t *testing.T) {
	t.Parallel()
	set := load(t, repository)
	for _, test := range []struct{ agent, problem, hint string }{
		{"", "which agent? agents: claude, claude-try, codex, codex-try, demo, opencode, opencode-try, shell", "bottle start claude"},
		{"dmeo", `there is no agent "dmeo"; agents: claude, claude-try, codex, codex-try, demo, opencode, opencode-try, shell`, "bottle start demo"},
		{"../x", `there is no agent "../x"; agents: claude, claude-try, codex, codex-try, demo, opencode, opencode-try, shell`, "bottle start claude"},
		{strings.Repeat("a", 200), `there is no agent "` + strings.Repeat("a", 200) + `"; agents: claude, claude-try, codex, codex-try, demo, opencode, opencode-try, shell`, "bottle start claude"},
	} {
		_, err := plan.Resolve(set, plan.Request{Agent: test.agent}, plan.Facts{})
		unknown := (*plan.UnknownAgentError)(nil)
		if !errors.As(err, &unknown) || err.Error() != test.problem || strings.Join(unknown.HintLines(), "\n") != test.hint {
			t.Errorf("%q: %v, want %s\n%s", test.agent, err, test.problem, test.hint)
		}
	}
	_, err := plan.Resolve(parse(t, ""), plan.Request{Agent: "demo"}, plan.Facts{})
	compare(t, "no agents", err, "bottle.toml defines no agents", "bottle init --print --template claude shows how to write one; or name another file: --manifest FILE")
	_, err = plan.Resolve(&manifest.Set{}, plan.Request{}, plan.Facts{})
	compare(t, "no manifest", err, "the manifest defines no agents", "bottle init --print --template claude shows how to write one; or name another file: --manifest FILE")
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	set := load(t, repository)
	for _, test := range []struct{ identity, want string }{
		{"", `planning demo: invalid name "": an identity looks like demo-x7k2p`},
		{"demo-x7k2p/../..", `planning demo: invalid name "demo-x7k2p/../..": an identity looks like demo-x7k2p`},
		{"shell-x7k2p", `planning demo: "shell-x7k2p" is the identity of another agent`},
	} {
		request := ask("demo")
		request.Identity = names.Identity(test.identity)
		if _, err := plan.Resolve(set, request, facts(set, "demo")); err == nil || err.Error() != test.want {
			t.Errorf("identity %q: %v, want %s", test.identity, err, test.want)
		}
	}
}

// TestEverythingIsMissing: one Resolve reports all that is missing on the host.
func TestEverythingIsMissing(t *testing.T) {
	t.Parallel()
	set := load(t, everything)
	f := facts(set, "claude")
	f.TTY, f.HostEnv, f.Files, f.ImageTools = false, nil, nil, []string{}
	_, err := plan.Resolve(set, ask("claude"), f)
	compare(t, "everything", err, `agents.claude: template claude needs the tool "claude", which the image recipe does not have
bottles.dev.env.ASK: asks for "ASK", but there is no terminal to ask on
bottles.dev.env.DB_PASSWORD: asks for "database password", but there is no terminal to ask on
bottles.dev.git.remotes[0].identity_file: the key ~/.ssh/app_deploy does not exist
bottles.dev.git.remotes[1].identity_file: the key /keys/lib does not exist
bottles.dev.git.remotes[2].identity_file: the key /keys/intern does not exist
bottles.dev.egress.routes: upstream_ca of api.anthropic.com: the certificate ca.pem does not exist
agents.claude.skills[0]: the skill ~/skills/review does not exist
agents.claude.skills[1]: the skill ~/skills/deploy does not exist
bottles.dev.env.ORG: the host variable ORG is not set`,
		`add it to images/agent/image.toml
start it in a terminal, or take the value from the host: ASK = "${ASK}"
start it in a terminal, or take the value from the host: DB_PASSWORD = "${DB_PASSWORD}"
make a deploy key: ssh-keygen -t ed25519 -N '' -f ~/.ssh/app_deploy
make a deploy key: ssh-keygen -t ed25519 -N '' -f /keys/lib
make a deploy key: ssh-keygen -t ed25519 -N '' -f /keys/intern
ls -l .
ls ~/skills
export ORG=... && bottle start claude`)
}

func TestFilesOfTheWrongKind(t *testing.T) {
	t.Parallel()
	set := parse(t, "[bottles.b]\n[agents.a]\nbottle = \"b\"\ntemplate = \"shell\"\nskills = [\"x\"]\nprompt_file = \"it's here/p.md\"\n")
	for _, test := range []struct {
		name                    string
		skill, prompt           plan.FileFact
		wantProblems, wantHints string
	}{
		{
			"swapped",
			plan.FileFact{Exists: true},
			plan.FileFact{Exists: true, Dir: true},
			"agents.a.skills[0]: the skill ~/.claude/skills/x is a file, not a directory\nagents.a.prompt_file: the prompt it's here/p.md is a directory, not a file",
			"ls ~/.claude/skills\nls -l 'it'\\''s here'",
		},
		{
			"outside",
			plan.FileFact{Exists: true, Dir: true, Outside: true},
			plan.FileFact{Exists: true},
			"agents.a.skills[0]: the skill ~/.claude/skills/x leads out of its directory through a symlink",
			"ls ~/.claude/skills",
		},
	} {
		f := facts(set, "a")
		f.Files = map[string]plan.FileFact{"~/.claude/skills/x": test.skill, "it's here/p.md": test.prompt}
		_, err := plan.Resolve(set, ask("a"), f)
		compare(t, test.name, err, test.wantProblems, test.wantHints)
	}
}

// TestPlaceholderStays: the manifest cannot put the real credential where the template
// has its placeholder.
func TestPlaceholderStays(t *testing.T) {
	t.Parallel()
	set := parse(t, "[bottles.b.env]\nCLAUDE_CODE_OAUTH_TOKEN = \"${CLAUDE_CODE_OAUTH_TOKEN}\"\n[agents.a]\nbottle = \"b\"\ntemplate = \"claude\"\n")
	_, err := plan.Resolve(set, ask("a"), facts(set, "a"))
	compare(t, "placeholder", err,
		"bottles.b.env.CLAUDE_CODE_OAUTH_TOKEN: template claude sets a placeholder here, because the agent never holds the credential",
		`give it to a route instead: auth = { header = "Authorization", scheme = "Bearer", token = "env:CLAUDE_CODE_OAUTH_TOKEN" }`)
}

func TestDemoNeedsItsHosts(t *testing.T) {
	t.Parallel()
	set := parse(t, "[bottles.b]\necho = [\"echo.bottle.test\"]\n[agents.a]\nbottle = \"b\"\ntemplate = \"demo\"\n")
	_, err := plan.Resolve(set, ask("a"), facts(set, "a"))
	compare(t, "demo", err,
		"agents.a: template demo needs a bottle with two echo names, one of them a plain route",
		`write in [bottles.b]: echo = ["echo.bottle.test", "unlisted.bottle.test"], and a route with host = "echo.bottle.test", address = "private"`)
}

// TestSizesThatSmolvmIgnores: they look like its own defaults, so it would not apply them.
func TestSizesThatSmolvmIgnores(t *testing.T) {
	t.Parallel()
	set := parse(t, "[bottles.b.resources]\ncpus = 4\nmemory = \"8GiB\"\n[agents.a]\nbottle = \"b\"\ntemplate = \"shell\"\n")
	f := facts(set, "a")
	if _, err := plan.Resolve(set, ask("a"), f); err != nil {
		t.Errorf("the stand-in takes every size, but: %v", err)
	}
	f.VMTool.Name = "smolvm"
	_, err := plan.Resolve(set, ask("a"), f)
	compare(t, "both", err, `bottles.b.resources.cpus: smolvm takes 4 processors for "not set" and would use a size of its own
bottles.b.resources.memory: smolvm takes 8192 MiB (8GiB) for "not set" and would use a size of its own`,
		"write in [bottles.b.resources]: cpus = 3, or cpus = 5\nwrite in [bottles.b.resources]: memory = \"8191MiB\", or \"9GiB\"")
	set = parse(t, "[bottles.b.resources]\ncpus = 5\nmemory = \"8191MiB\"\n[agents.a]\nbottle = \"b\"\ntemplate = \"shell\"\n")
	if _, err := plan.Resolve(set, ask("a"), f); err != nil {
		t.Errorf("the sizes of the hint: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	const manifestText = `
[bottles.b.env]
A_TOKEN = "12345678"
ALSO = "ghp_0123456789"
URL = "https://me:pw@host.test/"
TOKEN_FILE = "x"
PLAIN = "Hello"
[[bottles.b.egress.routes]]
host = "a.test"
methods = ["GET"]
paths = ["/"]
auth = { header = "X-Api-Key", token = "env:NOT_SET" }
[[bottles.b.egress.routes]]
host = "c.test"
methods = ["GET"]
paths = ["/"]
auth = { header = "X-Api-Key", token = "file:key" }
[[bottles.b.git.remotes]]
name = "app"
upstream = "ssh://git@git.test/me/app.git"
identity_file = "~/.ssh/id_ed25519"
known_host_key = "git.test ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
[agents.a]
bottle = "b"
template = "shell"
`
	set := parse(t, manifestText)
	f := facts(set, "a")
	f.HostEnv = nil
	f.Files = map[string]plan.FileFact{"~/.ssh/id_ed25519": {Exists: true, Mode: 0o644}}
	p, err := plan.Resolve(set, ask("a"), f)
	if err != nil {
		t.Fatal(err)
	}
	secret := ` looks like a secret written into the manifest; take it from the host ("${NAME}"), or give it to a route's auth so that the agent never sees it`
	want := []string{
		"a.test has no credential: env:NOT_SET is not there, so egress will answer 502",
		"bottles.b.env.ALSO" + strings.Replace(secret, "NAME", "ALSO", 1),
		"bottles.b.env.A_TOKEN" + strings.Replace(secret, "NAME", "A_TOKEN", 1),
		"bottles.b.env.URL" + strings.Replace(secret, "NAME", "URL", 1),
		"c.test has no credential: file:key is not there, so egress will answer 502",
		"remote app uses ~/.ssh/id_ed25519, your own key; a deploy key for this repository alone is safer",
		"~/.ssh/id_ed25519 is readable for others; type: chmod 600 ~/.ssh/id_ed25519",
	}
	if diff := cmp.Diff(want, p.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}
