package manifest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	key    = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
	remote = "[[bottles.b.git.remotes]]\nname = \"app\"\nupstream = \"ssh://git@git.test/me/app.git\"\nidentity_file = \"k\"\nknown_host_key = \"git.test " + key + "\"\n"
)

func TestRemotes(t *testing.T) {
	t.Parallel()
	const example = "; write it as ssh://git@github.com/me/app.git"
	for _, test := range []struct {
		field, value, want string
	}{
		{"name", `"app"`, ""},
		{"name", `"../app"`, `2: .name: invalid name "../app": it must begin with a letter from a to z`},
		{"upstream", `"ssh://git@git.test/~me/app"`, ""},
		{"upstream", `"git@git.test:me/app.git"`, `3: .upstream: "git@git.test:me/app.git" is not an ssh:// URL` + example},
		{"upstream", `"https://git.test/me/app.git"`, `3: .upstream: "https://git.test/me/app.git" is not an ssh:// URL` + example},
		{"upstream", `"ssh://git.test/me/app.git"`, `3: .upstream: "ssh://git.test/me/app.git" names no user` + example},
		{"upstream", `"ssh://-oProxyCommand=x@git.test/me"`, `3: .upstream: "ssh://-oProxyCommand=x@git.test/me" names no user` + example},
		{"upstream", `"ssh://git:very-secret@git.test/me/app.git"`, `3: .upstream: the URL contains a password; use identity_file`},
		{"upstream", `"ssh://git@git.test/me/../app.git"`, `3: .upstream: "/me/../app.git" is not a plain repository path` + example},
		{"upstream", `"ssh://git@git.test/--upload-pack=x"`, `3: .upstream: "/--upload-pack=x" is not a plain repository path` + example},
		{"upstream", `"ssh://git@git.test/a%20b"`, `3: .upstream: "ssh://git@git.test/a%20b" is not a valid URL` + example},
		{"upstream", `"ssh://git@git.test/a?b"`, `3: .upstream: "ssh://git@git.test/a?b" has a query or a fragment` + example},
		{"known_host_key", `"git.test ` + key[:40] + `"`, `5: .known_host_key: the key is cut off or not of type ssh-ed25519`},
		{"known_host_key", `"git.test ssh-ed25519 %%%"`, `5: .known_host_key: the key is cut off or not base64`},
		{"known_host_key", `"git.test ` + strings.Replace(key, "ssh-ed25519", "ssh-rsa", 1) + `"`, `5: .known_host_key: the key is cut off or not of type ssh-rsa`},
		{"known_host_key", `"git.test ssh-dss AAAA"`, `5: .known_host_key: unknown key type "ssh-dss"; known: ssh-ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, ecdsa-sha2-nistp521, ssh-rsa`},
		{"known_host_key", `"evil.test ` + key + `"`, `5: .known_host_key: is for "evil.test", but the upstream's host is "git.test"`},
		{"known_host_key", `"` + key + `"`, `5: .known_host_key: must be "HOST TYPE KEY", one line as ssh-keyscan prints it`},
		{"push", `{ branches = ["bottle/*", "bottle/<identity>/*"], approve = true, protect = [] }`, ""},
		{"push", `{ branches = ["refs/heads/main"] }`, `6: .push.branches[0]: "refs/heads/main" is not a branch pattern such as "bottle/*" or "bottle/<identity>/*"`},
		{"push", `{ branches = ["a..b"] }`, `6: .push.branches[0]: "a..b" is not a branch pattern such as "bottle/*" or "bottle/<identity>/*"`},
		{"push", `{ branches = ["-f"] }`, `6: .push.branches[0]: "-f" is not a branch pattern such as "bottle/*" or "bottle/<identity>/*"`},
		{"push", `{ protect = ["../x"] }`, `6: .push.protect[0]: "../x" is not a path pattern such as ".github/workflows/**"`},
		{"address", `"private"`, ""},
		{"address", `"public"`, `6: .address: must be "private" (any private address), not "public"; name single ranges with allow_private`},
		{"allow_private", `["10.1.0.0/16"]`, ""},
		{"allow_private", `[]`, `6: .allow_private: is an empty list; leave it out or name something`},
		{"allow_private", `["127.0.0.0/8"]`, `6: .allow_private[0]: "127.0.0.0/8" is not within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 or fc00::/7; public addresses need no entry, others are never allowed`},
		{"push", `{ force = true }`, `6: .push.force: unknown key; known here: approve, branches, protect`},
	} {
		manifest := remote
		if test.field == "push" || strings.HasSuffix(test.field, "private") || test.field == "address" {
			manifest += test.field + " = " + test.value + "\n"
		} else {
			manifest = replaceField(remote, test.field, test.value)
		}
		_, err := load(manifest)
		var want []string
		if test.want != "" {
			want = []string{strings.Replace(test.want, ": .", ": bottles.b.git.remotes[0].", 1)}
		}
		compare(t, test.field+" = "+test.value, err, want)
		if strings.Contains(text(err), "very-secret") {
			t.Errorf("the password is repeated: %v", err)
		}
	}
}

func replaceField(toml, field, value string) string {
	lines := strings.Split(toml, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, field+" = ") {
			lines[i] = field + " = " + value
		}
	}
	return strings.Join(lines, "\n")
}

func TestRemotesNeedTheirKeys(t *testing.T) {
	t.Parallel()
	_, err := load("[[bottles.b.git.remotes]]\n" + remote + remote)
	compare(t, "missing and double", err, []string{
		`1: bottles.b.git.remotes[0]: name is missing: name = "app"`,
		`1: bottles.b.git.remotes[0]: upstream is missing: upstream = "ssh://git@github.com/me/app.git"`,
		`1: bottles.b.git.remotes[0]: identity_file is missing: identity_file = "~/.ssh/deploy_key"`,
		`1: bottles.b.git.remotes[0]: known_host_key is missing: without it nothing is forwarded; print it with: ssh-keyscan HOST`,
		`8: bottles.b.git.remotes[2].name: "app" is the name of two remotes, the first in line 3`,
	})
}

// TestEchoRemotes: the keys of a remote are left out exactly where the launch makes them.
func TestEchoRemotes(t *testing.T) {
	t.Parallel()
	const echo = "[bottles.b]\necho = [\"git.test\"]\n"
	bare := strings.Join(strings.Split(remote, "\n")[:3], "\n") + "\n"
	missing := []string{
		`1: bottles.b.git.remotes[0]: identity_file is missing: identity_file = "~/.ssh/deploy_key"`,
		`1: bottles.b.git.remotes[0]: known_host_key is missing: without it nothing is forwarded; print it with: ssh-keyscan HOST`,
	}
	only := `bottles.b.git.remotes[0].name: git.test is an echo name, and those have repositories such as "ssh://git@git.test/app.git" only`
	bare = strings.Replace(bare, "me/app.git", "app.git", 1)
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"echo", echo + bare, nil},
		{"no echo name", bare, slices.Clone(missing)},
		{"another echo name", bare + "[bottles.b]\necho = [\"echo.test\"]\n", slices.Clone(missing)},
		{"no .test host", strings.Replace(bare, "git.test", "git.example", 1), missing},
		{"with keys", echo + strings.Replace(remote, "me/app.git", "app.git", 1), []string{
			"4: bottles.b.git.remotes[0].name: git.test is an echo name, and bottle makes its keys at every launch; leave identity_file out",
			"4: bottles.b.git.remotes[0].name: git.test is an echo name, and bottle makes its keys at every launch; leave known_host_key out",
		}},
		{"deep path", echo + strings.Replace(bare, "app.git", "me/app.git", 1), []string{"4: " + only}},
		{"another port", echo + strings.Replace(bare, "git.test/", "git.test:2222/", 1), []string{"4: " + only}},
		{"another user", echo + strings.Replace(bare, "git@", "me@", 1), []string{"4: " + only}},
		{"inherited", "[bottles.base]\necho = [\"git.test\"]\n" + strings.Replace(bare, "bottles.b.", "bottles.base.", 1) + "[bottles.b]\nextends = \"base\"\n", nil},
		{"inherited without the name", "[bottles.base]\necho = [\"git.test\"]\n" + strings.Replace(bare, "bottles.b.", "bottles.base.", 1) + "[bottles.b]\nextends = \"base\"\necho = []\n", []string{
			"6: bottles.b: identity_file is missing: identity_file = \"~/.ssh/deploy_key\"",
			"6: bottles.b: known_host_key is missing: without it nothing is forwarded; print it with: ssh-keyscan HOST",
		}},
	} {
		_, err := load(test.text)
		compare(t, test.name, err, test.want)
	}
}

// TestForge: beside git.remotes, a route may not write to a forge past the git gate.
func TestForge(t *testing.T) {
	t.Parallel()
	const refused = `host: %s can change repositories over HTTPS, past the git gate of git.remotes; allow only methods = ["GET", "HEAD"], or accept it with bypasses_git_gate = true`
	for _, test := range []struct {
		host, rest string
		bad        bool
	}{
		{"api.github.com", "methods = [\"GET\", \"POST\"]\n", true},
		{"github.com", "", true}, // plain: everything passes
		{"git.test", "", true},   // the upstream itself
		{"api.git.test", "methods = [\"PATCH\"]\n", true},
		{"api.github.com", "methods = [\"GET\", \"HEAD\"]\n", false},
		{"api.github.com", "paths = [\"/\"]\n", false}, // reads only, by default
		{"api.github.com", "methods = [\"POST\"]\nbypasses_git_gate = true\n", false},
		{"other.test", "methods = [\"POST\"]\n", false},
		{"gitlab.corp.example", "", true}, // named like one
		{"octo.ghe.com", "", true},
		{"api.githubcopilot.com", "", true}, // its MCP server pushes
		{"uploads.git.test", "", true},
		{"ghe.com.example", "", false},
	} {
		_, err := load(remote + "[[bottles.b.egress.routes]]\nhost = \"" + test.host + "\"\n" + test.rest)
		var want []string
		if test.bad {
			want = []string{"7: bottles.b.egress.routes[0]." + fmt.Sprintf(refused, test.host)}
		}
		compare(t, test.host+" "+test.rest, err, want)
	}
	alternative := strings.ReplaceAll(remote, "git.test", "altssh.forge.test")
	_, err := load(alternative + "[[bottles.b.egress.routes]]\nhost = \"forge.test\"\n")
	compare(t, "ssh under another name", err, []string{"7: bottles.b.egress.routes[0]." + fmt.Sprintf(refused, "forge.test")})
	// An inherited route is a problem of the bottle that adds the remotes.
	_, err = load(remote + "extends_ = 1\n")
	if err == nil {
		t.Error("an unknown key of a remote passes")
	}
	_, err = load("[bottles.base]\negress = { routes = [{ host = \"github.com\" }] }\n[bottles.b]\nextends = \"base\"\n" + remote)
	compare(t, "inherited", err, []string{"3: bottles.b: " + strings.TrimPrefix(fmt.Sprintf(refused, "github.com"), "host: ")})
}
