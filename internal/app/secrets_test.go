package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bottle.internal/internal/plan"
	"bottle.internal/internal/token"
)

// pipe is a named pipe that nobody writes to.
func pipe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (a *App) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(a.dirs.home, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Keys and certificates are read when a bottle starts; tokens are found by their route's index.
func TestSecretsOfAPlan(t *testing.T) {
	a := newApp(t, "API_TOKEN=from-the-environment", "EGRESS_UPSTREAM_PROXY=http://proxy.example.com:3128")
	a.write(t, "id", "the key")
	a.write(t, "ca.pem", "the authority")
	a.write(t, "token", "from-the-file\n")
	p := plan.Plan{
		Egress: []plan.Route{
			{Host: "plain.example.com"},
			{Host: "api.example.com", Auth: &plan.Auth{Source: "env", Name: "API_TOKEN"}, UpstreamCA: "~/ca.pem"},
			{Host: "file.example.com", Auth: &plan.Auth{Source: "file", Name: "~/token"}},
			{Host: "cmd.example.com", Auth: &plan.Auth{Source: "cmd", Name: "/bin/echo", Cmd: []string{"/bin/echo", "from-a-command"}}},
			{Host: "unset.example.com", Auth: &plan.Auth{Source: "env", Name: "NOBODY_SET_THIS"}},
		},
		Git: plan.Git{Remotes: []plan.Remote{
			{Name: "app", IdentityFile: "~/id", KnownHostKey: "git.example.com ssh-ed25519 AAAA"},
			{Name: "echo", Echo: true, IdentityFile: "/not/read"},
		}},
	}
	secrets, err := a.secrets(p)
	if err != nil {
		t.Fatal(err)
	}
	if secrets.UpstreamProxy != "http://proxy.example.com:3128" || string(secrets.UpstreamCAs["~/ca.pem"]) != "the authority" || len(secrets.UpstreamCAs) != 1 {
		t.Errorf("proxy %q, authorities %q", secrets.UpstreamProxy, secrets.UpstreamCAs)
	}
	if app := secrets.Remotes["app"]; len(secrets.Remotes) != 1 || app.Key.Reveal() != "the key" || app.KnownHostKey != "git.example.com ssh-ed25519 AAAA" {
		t.Errorf("remotes %v", secrets.Remotes)
	}
	values, missing := secrets.Tokens.First(t.Context())
	for index, want := range map[int]string{1: "from-the-environment", 2: "from-the-file", 3: "from-a-command"} {
		if values[index].Reveal() != want {
			t.Errorf("route %d has another token", index)
		}
	}
	if len(values) != 3 || len(missing) != 1 || missing[4].Error() != "env:NOBODY_SET_THIS is not set" {
		t.Errorf("%d values, missing %v", len(values), missing)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", secrets, secrets.Remotes, secrets.Remotes), "the key") {
		t.Error("the key can be printed")
	}
}

func TestTokenSpec(t *testing.T) {
	a := newApp(t)
	for auth, want := range map[*plan.Auth]token.Spec{
		{Source: "env", Name: "X"}:                          {Source: "env", Name: "X"},
		{Source: "file", Name: "~/x"}:                       {Source: "file", Name: filepath.Join(a.dirs.home, "x")},
		{Source: "file", Name: "/x"}:                        {Source: "file", Name: "/x"},
		{Source: "cmd", Name: "p", Cmd: []string{"p", "a"}}: {Source: "cmd", Name: "p", Cmd: []string{"p", "a"}},
	} {
		got := a.tokenSpec(*auth)
		if got.Source != want.Source || got.Name != want.Name || !slices.Equal(got.Cmd, want.Cmd) {
			t.Errorf("tokenSpec(%+v) = %+v", auth, got)
		}
	}
}

func TestSecretsThatCannotBeRead(t *testing.T) {
	a := newApp(t)
	big := a.write(t, "big", strings.Repeat("x", maxKeyFile+1))
	a.write(t, "most", strings.Repeat("x", maxKeyFile))
	fifo := pipe(t)
	remote := func(path string) plan.Plan {
		return plan.Plan{Git: plan.Git{Remotes: []plan.Remote{{Name: "app", IdentityFile: path}}}}
	}
	route := func(path string) plan.Plan {
		return plan.Plan{Egress: []plan.Route{{Host: "api.example.com", UpstreamCA: path}}}
	}
	missing := filepath.Join(a.dirs.home, "none")
	for _, test := range []struct {
		plan plan.Plan
		want string
	}{
		{remote("~/none"), "reading the key of the remote app: open " + missing + ": no such file or directory"},
		{remote("~/big"), "reading the key of the remote app: " + big + " has more than 256 KiB"},
		{remote("~/most"), ""},
		{remote("~/"), "reading the key of the remote app: " + a.dirs.home + " is no regular file"},
		{remote(fifo), "reading the key of the remote app: " + fifo + " is no regular file"},
		{route("~/none"), "reading the upstream_ca of api.example.com: open " + missing + ": no such file or directory"},
		{route("~/big"), "reading the upstream_ca of api.example.com: " + big + " has more than 256 KiB"},
		{route(fifo), "reading the upstream_ca of api.example.com: " + fifo + " is no regular file"},
		{
			plan.Plan{Egress: []plan.Route{{Host: "a", Auth: &plan.Auth{Source: "env"}}}},
			`the credential of route 0: "env:" is no source`,
		},
	} {
		_, err := a.secrets(test.plan)
		if got := fmt.Sprint(err); got != test.want && (test.want != "" || err != nil) {
			t.Errorf("secrets() = %s, want %q", got, test.want)
		}
		if test.want == "" != (err == nil) || errors.Is(err, syscall.EISDIR) {
			t.Errorf("secrets() = %v", err)
		}
	}
}

func TestUpstreamProxy(t *testing.T) {
	t.Parallel()
	const problem = "EGRESS_UPSTREAM_PROXY is no proxy of the form http://HOST:PORT"
	for text, want := range map[string]string{
		"":                                       " ",
		"http://proxy.example.com:3128":          "http://proxy.example.com:3128 ",
		"http://proxy.example.com:3128/":         "http://proxy.example.com:3128 ",
		"http://me:s%40crt@proxy.example.com:80": "http://proxy.example.com:80 me:s@crt",
		"https://proxy.example.com:3128":         problem,
		"http://proxy.example.com":               problem,
		"http://proxy.example.com:3128/pac":      problem,
		"http://me:s3cret@[":                     problem,
	} {
		address, auth, err := upstreamProxy(text)
		got := address + " " + auth.Reveal()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
