package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestProblems shows every complaint with its exact text. The lines of want are without
// "bottle.toml:".
func TestProblems(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, toml string
		want       []string
	}{
		{"empty is fine", "", nil},
		{"only comments", "# nothing\n", nil},
		{
			"not TOML", "[bottles.a\nsupervise = true\n",
			[]string{`2: this is not TOML: expected '.' or ']' to end table name, but got '\n' instead`},
		},
		{
			"two at once, with a suggestion", "[bottles.a]\nsupervised = true\n[agents.b]\nbottle = 7\ntemplate = \"shell\"\n",
			[]string{
				`2: bottles.a.supervised: unknown key; did you mean "supervise"?`,
				`4: agents.b.bottle: must be a string, not a whole number`,
			},
		},
		{
			"keys are case-sensitive", "[agents.b]\nBottle = \"a\"\ntemplate = \"shell\"\n",
			[]string{
				`1: agents.b: bottle is missing: bottle = "NAME", one of [bottles.NAME]`,
				`2: agents.b.Bottle: unknown key; did you mean "bottle"?`,
			},
		},
		{
			"unknown tables", "[bottle.a]\n[policies]\n",
			[]string{
				`1: bottle: unknown key; did you mean "bottles"?`,
				`2: policies: unknown key; known here: agents, bottles`,
			},
		},
		{
			"wrong types", "bottles = 1\n[agents]\nx = \"y\"\n[agents.z]\nbottle = []\ntemplate = 1.5\nskills = true\ncommand = [1, \"\"]\n",
			[]string{
				`1: bottles: must be a table, not a whole number`,
				`3: agents.x: must be a table, not a string`,
				`5: agents.z.bottle: must be a string, not a list`,
				`6: agents.z.template: must be a string, not a decimal number`,
				`7: agents.z.skills: must be a list, not true or false; for example: ["review"]`,
				`8: agents.z.command[0]: must be a string, not a whole number`,
			},
		},
		{
			"twice the same key", "[bottles.a]\nsupervise = true\nsupervise = false\n",
			[]string{`3: this is not TOML: Key 'bottles.a.supervise' has already been defined.`},
		},
		{
			"bad names", fmt.Sprintf("[bottles.\"..\"]\n[bottles.%s]\n[agents.\"a/../b\"]\nbottle = \"x\"\ntemplate = \"shell\"\nskills = [\"../../.ssh\"]\n[bottles.\"\\u202e\\n\"]\n", strings.Repeat("a", 120)),
			[]string{
				`1: bottles."..": invalid name "..": it must begin with a letter from a to z`,
				`2: bottles."` + strings.Repeat("a", 64) + `...": invalid name "aaaaaaaaaaaaaaaaaaaa"...: 120 bytes, at most 32 are allowed`,
				`3: agents."a/../b": invalid name "a/../b": only a-z, 0-9 and - are allowed`,
				`4: agents."a/../b".bottle: there is no bottle "x"; there are no bottles`,
				`6: agents."a/../b".skills[0]: invalid name "../../.ssh": it must begin with a letter from a to z`,
				`7: bottles."\u202e\n": invalid name "\u202e\n": it must begin with a letter from a to z`,
			},
		},
		{"a key of 600 characters", "[bottles." + strings.Repeat("a", 600) + "]\n", []string{`a key is longer than 512 bytes`}},
		{"a bomb of brackets", "a = " + strings.Repeat("[", 100_000), []string{`it nests deeper than 32 levels`}},
		{"a bomb of dots", strings.Repeat("a.", 100_000) + "a = 1", []string{`it nests deeper than 32 levels`}},
		{
			"agents", "[bottles.dev]\n[agents.a]\nbottle = \"dve\"\ntemplate = \"cluade\"\nprompt = \"x\"\nprompt_file = \"y\"\nworkdir = \"/etc\"\ncommand = []\nskills = [\"a\", \"a\"]\n",
			[]string{
				`3: agents.a.bottle: there is no bottle "dve"; did you mean "dev"?`,
				`4: agents.a.template: unknown template "cluade"; did you mean "claude"?`,
				`6: agents.a.prompt_file: there is a prompt too; keep one of the two`,
				`7: agents.a.workdir: "/etc" must be a plain path below /home/agent, such as /home/agent/work`,
				`8: agents.a.command: is an empty list; leave it out for the template's command`,
				`9: agents.a.skills[1]: "a" is listed twice`,
			},
		},
		{
			"no bottles at all", "[agents.a]\nbottle = \"dev\"\ntemplate = \"vim\"\nworkdir = \"/home/agent/../x\"\n",
			[]string{
				`2: agents.a.bottle: there is no bottle "dev"; there are no bottles`,
				`3: agents.a.template: unknown template "vim"; known templates: claude, codex, demo, opencode, shell`,
				`4: agents.a.workdir: "/home/agent/../x" must be a plain path below /home/agent, such as /home/agent/work`,
			},
		},
		{
			"env", "[bottles.a.env]\nA = 1\nhttps_proxy = \"\"\nBOTTLE_X = \"\"\n\"A-B\" = \"\"\nC = \"x${D}\"\nE = \"a\\u0000\"\nF = \"ok\"\n",
			[]string{
				`2: bottles.a.env.A: must be a string, not a whole number`,
				`3: bottles.a.env.https_proxy: is set by bottle itself and cannot be changed`,
				`4: bottles.a.env.BOTTLE_X: is set by bottle itself and cannot be changed`,
				`5: bottles.a.env.A-B: is not the name of a variable: letters, digits and _ only, at most 128`,
				`6: bottles.a.env.C: only a whole value is taken from the host: "${NAME}" with nothing around it`,
				`7: bottles.a.env.E: must not contain a NUL byte`,
			},
		},
		{
			"resources", "[bottles.a.resources]\nmemory = 512\ncpus = 0\ndisk = \"1500MiB\"\n[bottles.b.resources]\nmemory = \"1MiB\"\ncpus = \"2\"\ndisk = \"9999GiB\"\n",
			[]string{
				`2: bottles.a.resources.memory: must be a size with its unit, MiB or GiB, such as "2GiB"`,
				`3: bottles.a.resources.cpus: must be from 1 to 64, not 0`,
				`4: bottles.a.resources.disk: must be a whole number of GiB, not 1500MiB`,
				`6: bottles.b.resources.memory: must be from 256MiB to 512GiB, not 1MiB`,
				`7: bottles.b.resources.cpus: must be a whole number, not a string`,
				`8: bottles.b.resources.disk: must be from 1GiB to 1024GiB, not 9999GiB`,
			},
		},
		{
			"echo and canary", "[bottles.a]\necho = [\"api.anthropic.com\", \"x.test\", \"X.test\", \"x.test:443\"]\non_canary = \"explode\"\n",
			[]string{
				`2: bottles.a.echo[0]: "api.anthropic.com" must end in .test: the echo container may not stand in for a real host`,
				`2: bottles.a.echo[2]: "x.test" is listed twice`,
				`2: bottles.a.echo[3]: "x.test:443": only letters, digits, dashes and dots are allowed in a host`,
				`3: bottles.a.on_canary: must be "cut" or "warn", not "explode"`,
			},
		},
		{
			"extends", "[bottles.a]\nextends = \"b\"\n[bottles.b]\nextends = \"a\"\n[bottles.c]\nextends = \"c\"\n[bottles.d]\nextends = \"bb\"\n[bottles.e]\nextends = \"d\"\n[bottles.f]\nextends = []\n",
			[]string{
				`2: bottles.a.extends: goes round in a circle: a -> b -> a`,
				`4: bottles.b.extends: goes round in a circle: b -> a -> b`,
				`6: bottles.c.extends: goes round in a circle: c -> c`,
				`8: bottles.d.extends: there is no bottle "bb"; did you mean "b"?`,
				`12: bottles.f.extends: must be a string, not a list`,
			},
		},
		{
			"git.user needs both halves", "[bottles.a.git.user]\nname = \"x <y>\"\nemail = \"nobody\"\n[bottles.b.git.user]\nname = \"x\"\n",
			[]string{
				`2: bottles.a.git.user.name: must be one line without < and >`,
				`3: bottles.a.git.user.email: "nobody" is not an address such as "agent@example.com"`,
				`4: bottles.b.git.user: needs both name and email`,
			},
		},
	} {
		_, err := load(test.toml)
		compare(t, test.name, err, test.want)
	}
}

// compare checks whole error texts; a line of want begins with its number, if it has one.
func compare(t *testing.T, name string, err error, want []string) {
	t.Helper()
	for i, line := range want {
		separator := ": "
		if line[0] >= '0' && line[0] <= '9' && strings.Contains(line[:4], ":") {
			separator = ":"
		}
		want[i] = "bottle.toml" + separator + line
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), text(err)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestManyProblemsAreCut(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	for i := range 80 {
		fmt.Fprintf(&file, "x%d = 1\n", i)
	}
	_, err := load(file.String())
	lines := strings.Split(text(err), "\n")
	if len(lines) != 51 || lines[50] != "and 30 more problems" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}
