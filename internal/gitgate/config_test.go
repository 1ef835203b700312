package gitgate

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const exampleKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

func example() Config {
	return Config{
		Version: 1,
		Remotes: []Remote{
			{
				Name: "app", Host: "github.com", Port: 22, User: "git", Path: "/me/app.git", KnownHostKey: "github.com " + exampleKey,
				Branches: []string{"bottle/demo-x7k2p/*"}, Protect: []string{".github/workflows/**"},
			},
			{
				Name: "lib", Host: "git.corp.example", Port: 2222, User: "deploy", Path: "/~me/lib", KnownHostKey: "[git.corp.example]:2222 " + exampleKey,
				Branches: []string{}, Approve: true, Protect: []string{}, AllowPrivate: []string{"10.1.0.0/16"},
			},
		},
		Canaries: []string{"canary-<1>&2"},
		Limits:   Limits{Refs: 5},
	}
}

func TestRenderAndParse(t *testing.T) {
	t.Parallel()
	data, err := Render(example())
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/gitgate.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), string(data)); diff != "" {
		t.Errorf("rendered:\n%s", diff)
	}
	got, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), got); diff != "" {
		t.Errorf("parsed:\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	data, err := Render(example())
	if err != nil {
		t.Fatal(err)
	}
	good := string(data)
	for _, test := range []struct{ old, next, want string }{
		{good, "", "EOF"},
		{good, "null", "version 0, only 1 is understood"},
		{good, good + "{}", "something follows the value"},
		{`"version": 1`, `"version": 2`, "version 2, only 1 is understood"},
		{`"version": 1`, `"version": 1, "x": 1`, `json: unknown field "x"`},
		{`"version": 1`, `"version": 1, "version": 1`, "it is not in the form that bottle writes"},
		{`"approve": true`, `"Approve": true`, "it is not in the form that bottle writes"},
		{`"name": "app"`, `"name": "-app"`, `remotes[0]: name: invalid name "-app": it must begin with a letter from a to z`},
		{`"name": "lib"`, `"name": "app"`, `remotes[1]: name: "app" is there twice`},
		{`"host": "github.com"`, `"host": "-oProxyCommand=x"`, `remotes[0]: host: "-oProxyCommand=x" is not a canonical host name or IPv4 address`},
		{`"host": "github.com"`, `"host": "GitHub.com"`, `remotes[0]: host: "GitHub.com" is not a canonical host name or IPv4 address`},
		{`"port": 22,`, `"port": 0,`, "remotes[0]: port: 0 is not a port"},
		{`"user": "git"`, `"user": "-git"`, `remotes[0]: user: "-git" is not a user name`},
		{`"path": "/me/app.git"`, `"path": "/me/../app.git"`, `remotes[0]: path: "/me/../app.git" is not a plain repository path`},
		{`"path": "/me/app.git"`, `"path": "/me/'; id"`, `remotes[0]: path: "/me/'; id" is not a plain repository path`},
		{`"path": "/me/app.git"`, `"path": "/-x"`, `remotes[0]: path: "/-x" is not a plain repository path`},
		{`"github.com ssh`, `"example.com ssh`, `remotes[0]: known_host_key: want one line "github.com TYPE KEY"`},
		{`"[git.corp.example]:2222 ssh`, `"git.corp.example ssh`, `remotes[1]: known_host_key: want one line "[git.corp.example]:2222 TYPE KEY"`},
		{`"github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5`, `"github.com ssh-ed25519 AAAA`, "remotes[0]: known_host_key: the key cannot be read"},
		{`bottle/demo-x7k2p/*`, `refs/heads/*`, `remotes[0]: branches[0]: "refs/heads/*" is not a branch pattern`},
		{`bottle/demo-x7k2p/*`, `a b`, `remotes[0]: branches[0]: "a b" is not a branch pattern`},
		{`.github/workflows/**`, `[a]`, `remotes[0]: protect[0]: "[a]" is not a path pattern`},
		{`"protect": [],`, `"protect": null,`, "remotes[1]: branches or protect is missing: nothing is written as []"},
		{`10.1.0.0/16`, `8.8.0.0/16`, `remotes[1]: allow_private[0]: "8.8.0.0/16" is not a private range`},
		{`10.1.0.0/16`, `127.0.0.0/8`, `remotes[1]: allow_private[0]: "127.0.0.0/8" is not a private range`},
		{`canary-<1>&2`, `short`, "canaries[0]: 5 bytes, at least 8 are needed"},
		{`"refs": 5`, `"refs": -1`, "limits: a negative number"},
		{`"refs": 5`, `"refs": 500`, "limits: refs: 500, at most 256 are allowed"},
	} {
		if !strings.Contains(good, test.old) {
			t.Fatalf("%q is not in the example", test.old)
		}
		if _, err := Parse([]byte(strings.Replace(good, test.old, test.next, 1))); fmt.Sprint(err) != "reading gitgate.json: "+test.want {
			t.Errorf("%s -> %s: %v, want %s", test.old, test.next, err, test.want)
		}
	}
}

// What is accepted comes out as it went in, and names nothing that needs quoting.
func FuzzParse(f *testing.F) {
	data, err := Render(example())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"remotes":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Render(config)
		if err != nil || string(again) != string(data) {
			t.Fatalf("rendered as %q, %v", again, err)
		}
		for _, remote := range config.Remotes {
			if strings.ContainsAny(remote.url(), " '\"\\$`\n\x00") || strings.Contains(remote.url(), "//-") {
				t.Fatalf("URL %q", remote.url())
			}
		}
	})
}
