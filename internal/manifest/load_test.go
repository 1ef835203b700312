package manifest_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bottle.internal/internal/manifest"
	"bottle.internal/tests/golden"
)

func load(user string) (*manifest.Set, error) {
	return manifest.Load(manifest.Sources{User: manifest.Source{Path: "bottle.toml", Data: []byte(user)}})
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// text is the error as a person sees it.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestFull loads a manifest that uses every field.
func TestFull(t *testing.T) {
	t.Parallel()
	set, err := load(read(t, "testdata/full.toml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/full.golden.json", append(got, '\n'))
}

// TestEveryFieldIsDocumented gathers the known keys from the complaints about an unknown
// one in every table, and looks for each in the reference.
func TestEveryFieldIsDocumented(t *testing.T) {
	t.Parallel()
	_, err := load(read(t, "testdata/unknown.toml"))
	problems := (*manifest.Problems)(nil)
	if !errors.As(err, &problems) {
		t.Fatalf("Load() = %v, want problems", err)
	}
	reference := read(t, "../../docs/manifest.md")
	keys := 0
	for _, problem := range problems.List {
		_, list, ok := strings.Cut(problem.Text, "unknown key; known here: ")
		if !ok {
			t.Fatalf("unexpected problem: %v", problem)
		}
		for key := range strings.SplitSeq(list, ", ") {
			keys++
			if !strings.Contains(reference, "`"+key+"`") {
				t.Errorf("docs/manifest.md does not explain `%s` (%s)", key, problem.Field)
			}
		}
	}
	if len(problems.List) != 12 || keys < 50 {
		t.Errorf("%d tables with %d keys looked at; does testdata/unknown.toml miss one?", len(problems.List), keys)
	}
}

func TestTheRepositorysOwnManifestLoads(t *testing.T) {
	t.Parallel()
	set, err := load(read(t, "../../bottle.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"claude", "claude-try", "codex", "codex-try", "demo", "opencode", "opencode-try", "shell"}, set.AgentNames()); diff != "" {
		t.Error(diff)
	}
}

// TestDocumentedExampleLoads keeps the long example of the reference honest.
func TestDocumentedExampleLoads(t *testing.T) {
	t.Parallel()
	blocks := strings.Split(read(t, "../../docs/manifest.md"), "```toml\n")
	if len(blocks) < 2 {
		t.Fatal("docs/manifest.md has no example")
	}
	for i, block := range blocks[1:] {
		example, _, _ := strings.Cut(block, "```")
		if _, err := load(example); err != nil {
			t.Errorf("example %d: %v", i+1, err)
		}
	}
}

func TestExtends(t *testing.T) {
	t.Parallel()
	set, err := load(read(t, "testdata/extends.toml"))
	if err != nil {
		t.Fatal(err)
	}
	child := set.Bottles["child"]
	if diff := cmp.Diff(map[string]manifest.EnvValue{
		"A": {Kind: manifest.EnvLiteral, Text: "base"},
		"B": {Kind: manifest.EnvLiteral, Text: "child"},
		"C": {Kind: manifest.EnvHost, Text: "C"},
	}, child.Env); diff != "" {
		t.Errorf("env is not merged per key (-want +got):\n%s", diff)
	}
	if child.Resources != (manifest.Resources{CPUs: 4, MemoryMiB: 1024}) {
		t.Errorf("resources = %+v", child.Resources)
	}
	if len(child.Routes) != 1 || child.Routes[0].Host != "child.test" {
		t.Errorf("routes are not replaced: %+v", child.Routes)
	}
	if *child.GitUser != (manifest.GitUser{Name: "Child", Email: "base@example.com"}) {
		t.Errorf("git.user = %+v", child.GitUser)
	}
	if !child.Supervise || child.AllowCwdAgents || child.OnCanary != "warn" {
		t.Errorf("supervise %v, allow_cwd_agents %v, on_canary %q: want true, false (not inherited), warn", child.Supervise, child.AllowCwdAgents, child.OnCanary)
	}
	if empty := set.Bottles["empty"]; len(empty.Routes) != 0 || len(empty.Echo) != 0 || empty.Supervise {
		t.Errorf("explicit empty lists and false do not replace: %+v", empty)
	}
	if heir := set.Bottles["heir"]; len(heir.Routes) != 1 || heir.Routes[0].Host != "child.test" {
		t.Errorf("a bottle without routes does not inherit its parent's: %+v", heir.Routes)
	}
}

func TestCwd(t *testing.T) {
	t.Parallel()
	user := `
[bottles.open]
allow_cwd_agents = true
[bottles.shut]
[agents.mine]
bottle = "shut"
template = "shell"
`
	for _, test := range []struct{ name, cwd, want string }{
		{"fine", "[agents.theirs]\nbottle = \"open\"\ntemplate = \"shell\"\nprompt_file = \"a/b.md\"\n", ""},
		{
			"bottles", "[bottles.x]\n",
			"./bottle.toml:1: bottles: they are not taken from the working directory, because a cloned repository could give itself credentials and hosts; move them to bottle.toml",
		},
		{
			"not opened", "[agents.theirs]\nbottle = \"shut\"\ntemplate = \"shell\"\n",
			"./bottle.toml:2: agents.theirs.bottle: bottle \"shut\" takes no agents of a working directory; if you trust this one, write allow_cwd_agents = true in [bottles.shut] of bottle.toml",
		},
		{
			"shadow", "[agents.mine]\nbottle = \"open\"\ntemplate = \"shell\"\n",
			"./bottle.toml:1: agents.mine: an agent of the working directory may not replace your own of that name (bottle.toml:5); rename it",
		},
		{
			"skills_dir", "[agents.theirs]\nbottle = \"open\"\ntemplate = \"shell\"\nskills_dir = \"/\"\n",
			"./bottle.toml:4: agents.theirs.skills_dir: an agent of the working directory may not choose it: it could hand any directory of yours to the agent",
		},
		{
			"prompt_file", "[agents.theirs]\nbottle = \"open\"\ntemplate = \"shell\"\nprompt_file = \"../../etc/passwd\"\n",
			"./bottle.toml:4: agents.theirs.prompt_file: \"../../etc/passwd\" leaves the working directory; an agent that came with it may only name files in it",
		},
		{
			"home", "[agents.theirs]\nbottle = \"open\"\ntemplate = \"shell\"\nprompt_file = \"~/.ssh/id_ed25519\"\n",
			"./bottle.toml:4: agents.theirs.prompt_file: \"~/.ssh/id_ed25519\" leaves the working directory; an agent that came with it may only name files in it",
		},
	} {
		set, err := manifest.Load(manifest.Sources{
			User: manifest.Source{Path: "bottle.toml", Data: []byte(user)},
			Cwd:  &manifest.Source{Path: "./bottle.toml", Data: []byte(test.cwd)},
		})
		if got := text(err); got != test.want {
			t.Errorf("%s: Load() =\n%s\nwant\n%s", test.name, got, test.want)
		}
		if test.want == "" && (!set.Agents["theirs"].FromCwd || set.Agents["mine"].FromCwd) {
			t.Errorf("%s: it is not known whose agent is whose: %+v", test.name, set.Agents)
		}
	}
}

// TestBothFilesAreReported: the problems of one file do not hide those of the other.
func TestBothFilesAreReported(t *testing.T) {
	t.Parallel()
	_, err := manifest.Load(manifest.Sources{
		User: manifest.Source{Path: "bottle.toml", Data: []byte("[bottles.a]\nsupervise = 1\n")},
		Cwd:  &manifest.Source{Path: "cwd.toml", Data: []byte("x = [")},
	})
	want := "bottle.toml:2: bottles.a.supervise: must be true or false, not a whole number\n" +
		"cwd.toml:1: this is not TOML: unexpected EOF; expected value"
	if got := text(err); got != want {
		t.Errorf("Load() =\n%s\nwant\n%s", got, want)
	}
}
