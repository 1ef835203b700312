package manifest_test

import (
	"fmt"
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
		{"push", `{ force = true }`, `6: .push.force: unknown key; known here: approve, branches, protect`},
	} {
		manifest := remote
		if test.field == "push" {
			manifest += "push = " + test.value + "\n"
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
	} {
		_, err := load(remote + "[[bottles.b.egress.routes]]\nhost = \"" + test.host + "\"\n" + test.rest)
		var want []string
		if test.bad {
			want = []string{"7: bottles.b.egress.routes[0]." + fmt.Sprintf(refused, test.host)}
		}
		compare(t, test.host+" "+test.rest, err, want)
	}
	// An inherited route is a problem of the bottle that adds the remotes.
	_, err := load(remote + "extends_ = 1\n")
	if err == nil {
		t.Error("an unknown key of a remote passes")
	}
	_, err = load("[bottles.base]\negress = { routes = [{ host = \"github.com\" }] }\n[bottles.b]\nextends = \"base\"\n" + remote)
	compare(t, "inherited", err, []string{"3: bottles.b: " + strings.TrimPrefix(fmt.Sprintf(refused, "github.com"), "host: ")})
}
