package provision_test

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"bottle.internal/internal/execx"
	"bottle.internal/pkg/provision"
	"bottle.internal/tests/golden"
)

// everything has something for each step. Its certificate never changes.
func everything(t *testing.T) provision.Input {
	t.Helper()
	ca, err := os.ReadFile("testdata/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	return provision.Input{
		CAs:      [][]byte{ca, ca},
		Prompt:   provision.Prompt{Text: []byte("Be kind.\n")},
		Settings: []provision.Setting{{Path: "/home/agent/.claude.json", Data: []byte("{}\n")}},
		Skills: []provision.Skill{{Name: "review", FS: fstest.MapFS{
			"SKILL.md":       {Data: []byte("# Review\n"), Mode: 0o664},
			"scripts/run.sh": {Data: []byte("#!/bin/sh\n"), Mode: 0o775},
		}}},
		Git: provision.Git{
			Name: `A "quoted" \ name`, Email: "agent@example.test",
			Remotes: []provision.Remote{
				{Upstream: "ssh://git@forge.test/me/app.git", Gate: "http://127.0.0.1:9420/app.git"},
				{Upstream: "ssh://git@forge.test:2222/me/lib.git", Gate: "http://127.0.0.1:9420/lib.git"},
			},
		},
		Supervise: "http://127.0.0.1:9100/mcp",
		Env:       []provision.Variable{{"TZ", []byte("UTC")}, {"DB_PASSWORD", []byte("hunter2 <&>")}},
	}
}

func render(t *testing.T, in provision.Input) provision.Rendered {
	t.Helper()
	rendered, err := provision.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return rendered
}

func TestRenderGolden(t *testing.T) {
	t.Parallel()
	rendered := render(t, everything(t))
	var listing strings.Builder
	for _, file := range rendered.Files {
		fmt.Fprintln(&listing, file)
	}
	golden.Check(t, "testdata/listing.golden", listing.String())
	for _, file := range rendered.Files {
		switch file.Path {
		case "/etc/gitconfig":
			golden.Check(t, "testdata/gitconfig.golden", string(file.Data))
		case "/home/agent/.bottle/mcp.json":
			golden.Check(t, "testdata/mcp.golden", string(file.Data))
		case "/run/bottle/env":
			golden.Check(t, "testdata/env.golden", string(file.Data))
		}
	}
}

func TestRenderOfNothing(t *testing.T) {
	t.Parallel()
	var listing strings.Builder
	for _, file := range render(t, provision.Input{}).Files {
		fmt.Fprintln(&listing, file)
	}
	golden.Check(t, "testdata/nothing.golden", listing.String())
}

func TestRenderErrors(t *testing.T) {
	t.Parallel()
	linked := t.TempDir()
	if err := os.Symlink("/etc/passwd", filepath.Join(linked, "SKILL.md")); err != nil {
		t.Fatal(err)
	}
	many := fstest.MapFS{}
	for i := range 1001 {
		many[strconv.Itoa(i)] = &fstest.MapFile{}
	}
	skill := func(tree fs.FS) func(*provision.Input) {
		return func(in *provision.Input) { in.Skills = []provision.Skill{{"review", tree}} }
	}
	file := func(name string) func(*provision.Input) {
		return func(in *provision.Input) { in.Settings = []provision.Setting{{name, nil}} }
	}
	env := func(variables ...provision.Variable) func(*provision.Input) {
		return func(in *provision.Input) { in.Env = variables }
	}
	for _, test := range []struct {
		name   string
		change func(*provision.Input)
		want   string
	}{
		{"no PEM", func(in *provision.Input) { in.CAs = [][]byte{[]byte("hello")} }, "provisioning ca: certificate file 1: it is not PEM"},
		{"a key", func(in *provision.Input) {
			in.CAs = [][]byte{[]byte("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n")}
		}, "provisioning ca: certificate file 1: it holds a EC PRIVATE KEY, want certificates only"},
		{"text after it", func(in *provision.Input) { in.CAs[1] = append(slices.Clip(in.CAs[1]), "x"...) }, "provisioning ca: certificate file 2: it is not PEM"},
		{"relative", file("home/agent/x"), `provisioning prompt: path "home/agent/x": want an absolute path without dot segments`},
		{"dots", file("/home/agent/../../etc/passwd"), `provisioning prompt: path "/home/agent/../../etc/passwd": want an absolute path without dot segments`},
		{"root", file("/"), `provisioning prompt: path "/": want an absolute path without dot segments`},
		{"newline", file("/home/agent/a\nb"), `provisioning prompt: path "/home/agent/a\nb" has characters that are not allowed`},
		{"twice", file("/home/agent/.bottle/prompt.md"), "provisioning prompt: /home/agent/.bottle/prompt.md is there twice"},
		{"twice in two steps", file("/etc/gitconfig"), "provisioning: /etc/gitconfig is there twice"},
		{"file as directory", file("/home/agent/.bottle"), "provisioning prompt: /home/agent/.bottle is a file and the directory of /home/agent/.bottle/prompt.md"},
		{"vanished skill", skill(os.DirFS(filepath.Join(linked, "gone"))), `provisioning skills: skill "review": stat .: no such file or directory`},
		{"no skill", skill(nil), `provisioning skills: skill "review": it has no files`},
		{"empty skill", skill(fstest.MapFS{}), `provisioning skills: skill "review": it has no files`},
		{"symlink", skill(os.DirFS(linked)), `provisioning skills: skill "review": SKILL.md is not a regular file`},
		{"device", skill(fstest.MapFS{"dev": {Mode: fs.ModeDevice}}), `provisioning skills: skill "review": dev is not a regular file`},
		{"too many files", skill(many), `provisioning skills: skill "review": it has more than 1000 files`},
		{"too large", skill(fstest.MapFS{"a": {Data: make([]byte, 8<<20)}, "b": {Data: []byte("x")}}), `provisioning skills: skill "review": it has more than 8 MiB`},
		{"skill name", func(in *provision.Input) { in.Skills[0].Name = "../x" }, `provisioning skills: skill "../x": its name is wrong or there twice`},
		{"skill twice", func(in *provision.Input) { in.Skills = append(in.Skills, in.Skills[0]) }, `provisioning skills: skill "review": its name is wrong or there twice`},
		{"newline in git", func(in *provision.Input) { in.Git.Name = "x\n[core]" }, `provisioning git: name "x\n[core]" has a control character`},
		{"remote without gate", func(in *provision.Input) { in.Git.Remotes[0].Gate = "" }, `provisioning git: remote "ssh://git@forge.test/me/app.git" at "": want two URLs`},
		{"variable name", env(provision.Variable{Name: "A=B", Value: []byte("hunter2")}), `provisioning env: "A=B" is no name of a variable`},
		{"variable twice", env(provision.Variable{Name: "A"}, provision.Variable{Name: "A"}), "provisioning env: A is there twice"},
		{"NUL", env(provision.Variable{Name: "A", Value: []byte("hunter2\x00")}), "provisioning env: the value of A is not UTF-8 text without NUL"},
		{"not UTF-8", env(provision.Variable{Name: "A", Value: []byte("hunter2\xff")}), "provisioning env: the value of A is not UTF-8 text without NUL"},
		{"too much env", env(provision.Variable{Name: "A", Value: make2MiB()}), "provisioning env: the environment has 2097161 bytes, at most 1048576 are possible"},
		{"workdir", func(in *provision.Input) { in.Workdir = "work" }, `provisioning workdir: path "work": want an absolute path without dot segments`},
	} {
		in := everything(t)
		test.change(&in)
		_, err := provision.Render(in)
		if got := fmt.Sprint(err); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

func make2MiB() []byte { return []byte(strings.Repeat("x", 2<<20)) }

// Values reach the tar stream only.
func TestValuesArePrintedNowhere(t *testing.T) {
	t.Parallel()
	in := everything(t)
	rendered := render(t, in)
	for name, value := range map[string]any{"input": in.Env, "rendered": rendered} {
		asJSON, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		for _, printed := range []string{
			string(asJSON), fmt.Sprint(value), fmt.Sprintf("%+v", value), fmt.Sprintf("%#v", value), fmt.Sprintf("%x", value), fmt.Sprintf("%q", value),
		} {
			if strings.Contains(printed, "hunter2") || strings.Contains(printed, "68756e74657232") || strings.Contains(printed, "104, 117") {
				t.Errorf("%s shows a value: %s", name, printed)
			}
		}
	}
}

// OpenSSL must find the certificate under the name that we gave it.
func TestSubjectHashIsOpenSSLs(t *testing.T) {
	t.Parallel()
	openssl, err := execx.Find("openssl")
	if err != nil {
		t.Skip("no openssl")
	}
	for _, subject := range []pkix.Name{
		{CommonName: "bottle demo-x7k2p"},
		{CommonName: "  Two  Words ", Organization: []string{"ÄÖÜ & Co", "B"}, Country: []string{"DE"}},
		{},
	} {
		ca := makeNamedCA(t, subject)
		trust := render(t, provision.Input{CAs: [][]byte{ca}}).Trust
		out, err := execx.Output(t.Context(), execx.Cmd{
			Path: openssl, Args: []string{"x509", "-noout", "-subject_hash"}, Stdin: bytes.NewReader(ca),
		})
		if err != nil || len(trust) != 1 || trust[0].Hash != strings.TrimSpace(string(out)) {
			t.Errorf("%s: openssl says %s, %v, we %v", subject, out, err, trust)
		}
	}
}

func TestGitReadsItsConfiguration(t *testing.T) {
	t.Parallel()
	git, err := execx.Find("git")
	if err != nil {
		t.Skip("no git")
	}
	name := filepath.Join(t.TempDir(), "config")
	for _, file := range render(t, everything(t)).Files {
		if file.Path == "/etc/gitconfig" {
			if err := os.WriteFile(name, file.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := execx.Output(t.Context(), execx.Cmd{Path: git, Args: []string{"config", "--file", name, "--list"}})
	want := `user.name=A "quoted" \ name
user.email=agent@example.test
url.http://127.0.0.1:9420/app.git.insteadof=ssh://git@forge.test/me/app.git
url.http://127.0.0.1:9420/app.git.insteadof=git@forge.test:me/app.git
url.http://127.0.0.1:9420/lib.git.insteadof=ssh://git@forge.test:2222/me/lib.git
`
	if err != nil || string(out) != want {
		t.Errorf("git reads %s, %v", out, err)
	}
}
