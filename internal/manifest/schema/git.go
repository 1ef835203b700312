package schema

import "github.com/google/jsonschema-go/jsonschema"

const (
	remoteHead = "[[bottles.dev.git.remotes]]"
	exampleKey = `"github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"`
)

func git() Table {
	return Table{
		Title: "[bottles.NAME.git]", Name: "git", Head: "[bottles.dev.git]",
		Keys: []Key{
			{
				Name: "remotes", Kind: tables("remote"), Default: "`[]`", Meaning: "the repositories, one table each",
				Example: `[{ name = "app", upstream = "ssh://git@app.bottle.test/app.git", identity_file = "key", known_host_key = ` + echoKey + ` }]`,
				Mistake: `{ name = "app" }`,
			},
			{
				Name: "user", Kind: inner("gitUser"), Meaning: "the author of the agent's commits",
				Example: `{ name = "Agent", email = "agent@example.com" }`, Mistake: `"Agent <agent@example.com>"`,
			},
		},
	}
}

const echoKey = `"app.bottle.test ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"`

func remote() Table {
	keys := []Key{
		{
			Name: "name", Kind: name(), Required: true, Meaning: "the name that the agent sees; one for each remote",
			Example: `"app"`, Mistake: `"my app"`,
		},
		{
			Name: "upstream", Kind: like("string", `^ssh://[A-Za-z_][A-Za-z0-9_.-]{0,31}@[^/\s]+(/[A-Za-z0-9_~+.-]+)+$`), Required: true,
			Meaning: "`ssh://USER@HOST[:PORT]/PATH`",
			Example: `"ssh://git@github.com/me/app.git"`, Mistake: `"git@github.com:me/app.git"`,
		},
		{
			Name: "identity_file", Kind: path().as("path, required except for an echo name"),
			Meaning: "the private key; it stays on the host. A deploy key for this repository alone is best",
			Example: `"~/.ssh/app_deploy"`, Mistake: `""`,
		},
		{
			Name: "known_host_key", Kind: like("string, required except for an echo name", `^\S+ (ssh-|ecdsa-)\S+ [A-Za-z0-9+/]+=*$`),
			Meaning: "the server's key as `HOST TYPE KEY`, one line of `ssh-keyscan HOST` that you have compared with the published one. For another port than 22 the host is written `[HOST]:PORT`",
			Example: exampleKey, Mistake: `"github.com"`,
		},
	}
	keys = append(append(keys, privateKeys("upstream")...), Key{
		Name: "push", Kind: inner("push"), Meaning: "what may be pushed; see [push](#push)",
		Example: `{ branches = ["bottle/*"], approve = true }`, Mistake: `["bottle/*"]`,
	})
	for i, key := range keys {
		if key.Name != "identity_file" {
			keys[i].With = "identity_file = \"~/.ssh/app_deploy\"\n"
		}
		if key.Name != "known_host_key" {
			keys[i].With += "known_host_key = " + exampleKey
		}
	}
	return Table{
		Title: "[[bottles.NAME.git.remotes]]", Name: "remote", Head: remoteHead, Keys: keys,
		rules: []*jsonschema.Schema{notBoth("address", "allow_private")},
	}
}

func push() Table {
	return Table{
		Title: "push", Name: "push",
		Head: remoteHead + "\nname = \"app\"\nupstream = \"ssh://git@github.com/me/app.git\"\nidentity_file = \"key\"\nknown_host_key = " + exampleKey + "\n[bottles.dev.git.remotes.push]",
		Keys: []Key{
			{
				Name: "branches", Kind: list("list of patterns", like("pattern", `^[A-Za-z0-9_+*][A-Za-z0-9_+.*<>/-]*$`)), Default: "`[\"bottle/<identity>/*\"]`",
				Meaning: "branches that may be pushed to; `<identity>` stands for this bottle's name",
				Example: `["bottle/*"]`, Mistake: `["~main"]`,
			},
			{
				Name: "approve", Kind: boolean(), Default: "`false`", Meaning: "each push waits for your yes",
				Example: `true`, Mistake: `"always"`,
			},
			{
				Name: "protect", Kind: list("list of path patterns", like("pattern", `^[A-Za-z0-9_+.*@ -]+(/[A-Za-z0-9_+.*@ -]+)*$`)),
				Default: "the files that make CI systems run something, such as `.github/workflows/**`",
				Meaning: "changes to these wait for your yes; `[]` protects nothing and is shown in capitals",
				Example: `[".github/workflows/**", "Makefile"]`, Mistake: `["/etc/passwd"]`,
			},
		},
	}
}

func gitUser() Table {
	return Table{
		Title: "[bottles.NAME.git.user]", Name: "gitUser", Head: "[bottles.dev.git.user]",
		Keys: []Key{
			{
				Name: "name", Kind: like("string", `^[^<>]+$`), Meaning: "the author of the agent's commits; needs `email`, of its own or of a bottle that is extended",
				Example: `"Agent"`, With: `email = "agent@example.com"`, Mistake: `"Agent <agent@example.com>"`,
			},
			{
				Name: "email", Kind: like("string", `^[^\s<>@]+@[^\s<>@]+$`), Meaning: "the author's address; needs `name`",
				Example: `"agent@example.com"`, With: `name = "Agent"`, Mistake: `"agent"`,
			},
		},
	}
}
