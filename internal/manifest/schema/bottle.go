package schema

import (
	"github.com/google/jsonschema-go/jsonschema"

	"bottle.internal/internal/manifest"
)

func bottle() Table {
	return Table{
		Title: "[bottles.NAME]", Name: "bottle", Head: "[bottles.base]\n[bottles.dev]",
		Keys: []Key{
			{
				Name: "extends", Kind: name().as("string"), Meaning: "another bottle whose settings this one takes over; see [extends](#extends)",
				Example: `"base"`, Mistake: `"Base"`,
			},
			{
				Name: "env", Kind: variables(), Meaning: "variables of the guest; see [env](#env)",
				Example: `{ TZ = "UTC", ORG = "${ORG}" }`, Mistake: `{ TZ = 1 }`,
			},
			{
				Name: "resources", Kind: inner("resources"), Default: "by template", Meaning: "size of the VM",
				Example: `{ memory = "2GiB" }`, Mistake: `"2GiB"`,
			},
			{
				Name: "egress", Kind: inner("egress"), Default: "no routes", Meaning: "the hosts that may be reached",
				Example: `{ routes = [{ host = "api.example.com" }] }`, Mistake: `["api.example.com"]`,
			},
			{
				Name: "git", Kind: inner("git"), Meaning: "repositories behind the git gate, and the author of commits",
				Example: `{ user = { name = "Agent", email = "agent@example.com" } }`, Mistake: `{ name = "Agent" }`,
			},
			{
				Name: "supervise", Kind: boolean(), Default: "`false`", Meaning: "the agent may ask you for more; see [supervise.md](supervise.md)",
				Example: `true`, Mistake: `"yes"`,
			},
			{
				Name: "allow_cwd_agents", Kind: boolean(), Default: "`false`", Meaning: "agents of a working directory may use this bottle",
				Example: `true`, Mistake: `1`,
			},
			{
				Name: "on_canary", Kind: oneOf("cut", "warn"), Default: "`\"cut\"`",
				Meaning: "what happens when one of the bottle's fake credentials is sent: the bottle loses its network, or you are only told; see [canary.md](canary.md)",
				Example: `"warn"`, Mistake: `"explode"`,
			},
			{
				Name: "echo", Kind: hosts(), Default: "`[]`",
				Meaning: "bottle runs a small server under these names, for demos and tests. It answers HTTPS on port 443 and holds the repositories of remotes with such an upstream. The names end in `.test`. One without a route is alive but cannot be reached",
				Example: `["echo.bottle.test"]`, Mistake: `["api.example.com"]`,
			},
			{
				Name: "model", Kind: text().as("one of the `echo` names"),
				Meaning: "under this name the echo server plays a model's API from a short script, which makes a change, pushes it to an echo repository and calls a supervise tool: to try a real agent offline. It needs a route with `GET` and `POST`, `paths` and `auth`, and answers only requests with that credential",
				Example: `"model.bottle.test"`, Mistake: `""`,
				With: `echo = ["model.bottle.test"]
egress = { routes = [{ host = "model.bottle.test", address = "private", methods = ["GET", "POST"], paths = ["/v1/"], auth = { header = "x-api-key", token = "env:TOKEN" } }] }`,
			},
		},
		rules: []*jsonschema.Schema{needs("model", "echo")},
	}
}

func resources() Table {
	const size = `^[1-9][0-9]{0,6}(MiB|GiB)$`
	return Table{
		Title: "[bottles.NAME.resources]", Name: "resources", Head: "[bottles.dev.resources]",
		Keys: []Key{
			{
				Name: "memory", Kind: like("size, `\"256MiB\"` to `\"512GiB\"`", size), Default: "`\"512MiB\"` demo, `\"1GiB\"` shell, `\"2GiB\"` others",
				Meaning: "memory of the VM", Example: `"12GiB"`, Mistake: `4096`,
			},
			{
				Name: "cpus", Kind: number("number, 1 to 64", 1, 64), Default: "1 demo, 2 others", Meaning: "virtual processors",
				Example: `6`, Mistake: `0`,
			},
			{
				Name: "disk", Kind: like("size in whole GiB, `\"1GiB\"` to `\"1024GiB\"`", size), Default: "`\"10GiB\"`", Meaning: "what the agent may write",
				Example: `"40GiB"`, Mistake: `"40 GB"`,
			},
		},
	}
}

func egress() Table {
	return Table{
		Title: "[bottles.NAME.egress]", Name: "egress", Head: "[bottles.dev.egress]",
		Keys: []Key{{
			Name: "routes", Kind: tables("route"), Default: "`[]`", Meaning: "what may be reached; nothing else can be",
			Example: `[{ host = "api.example.com" }]`, Mistake: `["api.example.com"]`,
		}},
	}
}

func agent() Table {
	return Table{
		Title: "[agents.NAME]", Name: "agent", Head: "[bottles.dev]\n[agents.claude]",
		Keys: []Key{
			{
				Name: "bottle", Kind: name().as("string"), Required: true, Meaning: "one of the bottles",
				Example: `"dev"`, Mistake: `"Dev"`,
			},
			{
				Name: "template", Kind: oneOf(manifest.Templates()...), Required: true, Meaning: "what kind of agent; see [Templates](#templates)",
				Example: `"claude"`, Mistake: `"cluade"`,
			},
			{
				Name: "command", Kind: arguments(), Default: "the template's",
				Meaning: "program and arguments; replaces all of the template's, its prompt flag too",
				Example: `["claude", "--model", "opus"]`, Mistake: `"claude --model opus"`,
			},
			{
				Name: "skills", Kind: list("list of names", name()), Default: "`[]`", Meaning: "directories that are copied into the guest",
				Example: `["review"]`, Mistake: `["../../.ssh"]`,
			},
			{
				Name: "skills_dir", Kind: path(), Default: "`~/.claude/skills`", Meaning: "where the skills are",
				Example: `"~/skills"`, Mistake: `""`,
			},
			{
				Name: "prompt", Kind: text().as("string, at most 64 KiB"),
				Meaning: "what the agent is told first. It is in the file that `$BOTTLE_PROMPT_FILE` names",
				Example: `"Fix the failing test."`, Mistake: `["Fix", "it"]`,
			},
			{
				Name: "prompt_file", Kind: path(), Meaning: "the same, from a file; not beside `prompt`",
				Example: `"prompt.md"`, Mistake: `true`,
			},
			{
				Name: "workdir", Kind: like("guest path below `/home/agent`", `^/home/agent(/[A-Za-z0-9_.+-]+)+$`), Default: "`/home/agent/work`",
				Meaning: "where the agent starts", Example: `"/home/agent/app"`, Mistake: `"/etc"`,
			},
			{
				Name: "base_url", Kind: like("https URL", `^https://[^/?#@\s]+(/[^?#\s]*)?$`), Default: "the provider's own",
				Meaning: "where the model's API is, such as a gateway. A routed host of the bottle with `POST`; templates `claude`, `codex` and `opencode`. Written as the program wants it: `claude` without `/v1`, the others with it",
				Example: `"https://gateway.example.com"`, Mistake: `"gateway.example.com"`,
			},
		},
		rules: []*jsonschema.Schema{notBoth("prompt", "prompt_file")},
	}
}
