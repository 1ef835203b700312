package plan_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/manifest"
	"bottle.internal/internal/names"
	"bottle.internal/internal/plan"
	"bottle.internal/tests/golden"
)

const (
	repository = "../../bottle.toml"
	everything = "../manifest/testdata/full.toml"
)

func load(t testing.TB, file string) *manifest.Set {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(data))
}

func parse(t testing.TB, text string) *manifest.Set {
	t.Helper()
	set, err := manifest.Load(manifest.Sources{User: manifest.Source{Path: "bottle.toml", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func ask(agent string) plan.Request {
	return plan.Request{Agent: agent, Identity: names.Identity(agent + "-x7k2p"), Asks: true, Terminal: true}
}

// facts are those of a host that has everything that the agent needs.
func facts(set *manifest.Set, agent string) plan.Facts {
	f := plan.Facts{
		VMTool: plan.VMTool{
			Name: "smolvm-lite", Version: "1.9.3",
			Note: "qemu stand-in, accelerator tcg: shows behaviour, not isolation strength",
		},
		FirewallEngine: "builtin",
		RecipeKey:      strings.Repeat("0a", 32),
		ImageTools:     []string{"claude", "codex", "opencode"},
		HostEnv:        map[string]bool{},
		Files:          map[string]plan.FileFact{},
		TTY:            true,
	}
	needs := plan.NeedsOf(set, agent)
	for _, name := range needs.Env {
		f.HostEnv[name] = true
	}
	for _, ref := range needs.Files {
		f.Files[ref.Path] = plan.FileFact{Exists: true, Dir: strings.HasSuffix(ref.Root, "skills"), Mode: 0o600}
	}
	return f
}

// TestGolden shows whole plans and preflights.
func TestGolden(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ file, agent string }{
		"full":      {everything, "claude"},
		"full-file": {everything, "sh"},
	}
	for _, template := range manifest.Templates() {
		cases[template] = struct{ file, agent string }{repository, template}
	}
	for name, test := range cases {
		set := load(t, test.file)
		p, err := plan.Resolve(set, ask(test.agent), facts(set, test.agent))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if test.file == repository && p.Template != name {
			t.Errorf("agent %s of the repository has template %s", test.agent, p.Template)
		}
		text, err := p.JSON()
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "testdata/"+name+".plan.json", text)
		golden.Check(t, "testdata/"+name+".preflight.txt", []byte(p.Preflight()))
	}
}

// TestFromCwd: an agent of the working directory is marked, and trusted only by a person.
func TestFromCwd(t *testing.T) {
	t.Parallel()
	set, err := manifest.Load(manifest.Sources{
		User: manifest.Source{Path: "/home/me/.config/bottle/bottle.toml", Data: []byte(
			"[bottles.open]\nallow_cwd_agents = true\nenv = { Q = \"?a\\nvm         none\" }\n")},
		Cwd: &manifest.Source{Path: "./bottle.toml", Data: []byte(
			"[agents.theirs]\nbottle = \"open\"\ntemplate = \"shell\"\ncommand = [\"sh\", \"-c\", \"\\u001b[2J; rm -r x\\nagent      mine\"]\nprompt_file = \"docs/p.md\"\nskills = [\"review\"]\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.FileRef{{Path: "~/.claude/skills/review", Root: "~/.claude/skills"}, {Path: "docs/p.md", Root: "."}}
	if diff := cmp.Diff(want, plan.NeedsOf(set, "theirs").Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	p, err := plan.Resolve(set, ask("theirs"), facts(set, "theirs"))
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/cwd.preflight.txt", []byte(p.Preflight()))

	request := ask("theirs")
	request.Asks = false
	_, err = plan.Resolve(set, request, facts(set, "theirs"))
	compare(t, "nobody is asked", err,
		"agent theirs comes from ./bottle.toml, which is not your own manifest, and nobody is asked",
		"read ./bottle.toml, then type: bottle start theirs --yes --trust-cwd")
	request.CwdTrusted = true
	if _, err = plan.Resolve(set, request, facts(set, "theirs")); err != nil {
		t.Errorf("a trusted working directory is refused: %v", err)
	}
}

// TestManagedEnv: no manifest can change a variable that bottle sets for the boundary.
func TestManagedEnv(t *testing.T) {
	t.Parallel()
	set := load(t, everything)
	p, err := plan.Resolve(set, ask("claude"), facts(set, "claude"))
	if err != nil {
		t.Fatal(err)
	}
	managed := 0
	for _, env := range p.Env {
		if env.Source != plan.SourceBottle {
			continue
		}
		managed++
		_, err := manifest.Load(manifest.Sources{User: manifest.Source{Path: "bottle.toml", Data: []byte("[bottles.a.env]\n" + env.Name + " = \"x\"\n")}})
		want := "bottle.toml:2: bottles.a.env." + env.Name + ": is set by bottle itself and cannot be changed"
		if err == nil || err.Error() != want {
			t.Errorf("setting %s: %v, want %s", env.Name, err, want)
		}
	}
	if managed != 13 {
		t.Errorf("%d managed variables, want 13: the proxies (6), certificates (4), prompt, git gate, supervise", managed)
	}
}

// TestNoSecretValue: a plan has values for literals and for its own settings only.
func TestNoSecretValue(t *testing.T) {
	t.Parallel()
	set := load(t, everything)
	p, err := plan.Resolve(set, ask("claude"), facts(set, "claude"))
	if err != nil {
		t.Fatal(err)
	}
	var visible []string
	for _, env := range p.Env {
		if env.Visible() {
			visible = append(visible, env.Name)
			if env.Value != "" || env.From == "" {
				t.Errorf("%+v: want the source and no value", env)
			}
		}
	}
	if diff := cmp.Diff([]string{"ASK", "DB_PASSWORD", "ORG"}, visible); diff != "" {
		t.Error(diff)
	}
}

// A manifest that says nothing gets the strict answer.
func TestOnCanary(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		"":                   "canary     cut: fake credentials are planted; a bottle that sends one loses its network\n",
		`on_canary = "cut"`:  "canary     cut: fake credentials are planted; a bottle that sends one loses its network\n",
		`on_canary = "warn"`: "canary     warn: fake credentials are planted; when one is sent, you are told\n",
	} {
		set := parse(t, "[bottles.b]\n"+written+"\n[agents.a]\nbottle = \"b\"\ntemplate = \"shell\"\n")
		p, err := plan.Resolve(set, ask("a"), facts(set, "a"))
		if err != nil {
			t.Fatal(err)
		}
		if p.Cuts() == strings.Contains(written, "warn") || p.OnCanary == "" || !strings.Contains(p.Preflight(), want) {
			t.Errorf("%q: %q\n%s", written, p.OnCanary, p.Preflight())
		}
	}
	if !(plan.Plan{}).Cuts() {
		t.Error("a plan of an earlier version does not cut")
	}
}

func FuzzResolve(f *testing.F) {
	for _, file := range []string{repository, everything} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	labels := []string{"agent", "identity", "bottle", "command", "workdir", "prompt", "skills", "env", "git", "egress", "supervise", "model", "demo", "canary", "firewall", "vm", "warning", "not", ""}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := manifest.Load(manifest.Sources{User: manifest.Source{Path: "bottle.toml", Data: data}})
		if err != nil {
			return
		}
		for _, agent := range set.AgentNames() {
			p, err := plan.Resolve(set, ask(agent), facts(set, agent))
			if err != nil {
				continue
			}
			first, err := p.JSON()
			if err != nil {
				t.Fatal(err)
			}
			again, err := plan.Resolve(set, ask(agent), facts(set, agent))
			if err != nil {
				t.Fatal(err)
			}
			if second, err := again.JSON(); err != nil || !bytes.Equal(first, second) {
				t.Fatalf("two plans of one input differ: %v", err)
			}
			for line := range strings.SplitSeq(strings.TrimSuffix(p.Preflight(), "\n"), "\n") {
				label, _, _ := strings.Cut(line, " ")
				if !slices.Contains(labels, label) || strings.ContainsAny(line, "\x1b\r\t\x00") {
					t.Fatalf("an odd line in the preflight: %q", line)
				}
			}
		}
	})
}
