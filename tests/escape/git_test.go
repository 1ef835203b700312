//go:build integration && linux

package escape

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"bottle.internal/pkg/bundle"
)

const gitGate = "127.0.0.1:9420"

// gitTricks tries to get something else than a clean branch to the upstream. More of them,
// and what is in objects, are in tests/chain and internal/gitgate.
func gitTricks(t *testing.T, s *scene) {
	ask := func(path string) attack { return askAt(gitGate, path) }
	const refs = "/info/refs?service=git-upload-pack"
	above := func() (string, error) { return "the repository itself answers, above", nil }
	list := []attempt{{name: "git: the repository", attack: ask("/app.git" + refs), reaches: true}}
	for _, c := range []struct{ what, path string }{
		{"a path that climbs", "/app.git/../../../etc/passwd"},
		{"another repository", "/other.git" + refs},
		{"ext:: as a repository", "/ext::sh%20-c%20id" + refs},
		{"an option as a repository", "/--upload-pack=id" + refs},
		{"a file as a repository", "/file:///etc" + refs},
		{"another service", "/app.git/info/refs?service=git-upload-archive"},
		{"the objects as files", "/app.git/config"},
	} {
		list = append(list, attempt{name: "git: " + c.what, attack: ask(c.path), control: above, saying: "4", expected: "4xx"})
	}
	s.attempts(t, list)
	s.pushes(t)
}

// pushes goes from a clean push, which must arrive, to those that must not. More refs are in
// internal/gitgate: git is slow in an emulated machine.
func (s *scene) pushes(t *testing.T) {
	branch := "bottle/" + s.id + "/es"
	prepared := s.in(t, s.id, "", fmt.Sprintf(`set -e; cd; git clone -q ssh://git@git.bottle.test/app.git es; cd es; git checkout -q -b %s
echo clean >a; git add a; git commit -qm clean; git push -q origin %[1]s; git rev-parse HEAD`, branch))
	clean := strings.TrimSpace(prepared.Stdout)
	control := "a clean push arrived at the upstream"
	before := s.upstreamRefs(t)
	if prepared.Code != 0 || !strings.Contains(before, clean+"\trefs/heads/"+branch) {
		t.Fatalf("the control: %s\n%s", prepared, before)
	}
	key := "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\\nQyNTUxOQAAACBx7lyZ4V4sS0V6ZLWq6ZrJVbY3kq4bWnZ1r3bD9qk3XwAAAJgq0cXqKtHF\\n-----END OPENSSH PRIVATE KEY-----\\n"
	list := []struct{ what, prepare, push string }{
		{"a branch that is not its own", "true", "origin HEAD:refs/heads/main"},
		{"with a receive-pack of its own", "true", "--receive-pack='touch /tmp/es; git-receive-pack' origin HEAD:refs/heads/main"},
		{"a secret, taken out again", "printf '%b' '" + key + "' >k && git add k && git commit -qm k && git rm -q k && git commit -qm nok", "origin HEAD:" + branch},
	}
	script := "cd ~/es\n"
	for _, c := range list {
		script += "git reset -q --hard " + clean + " && " + c.prepare + " && echo PUSH && { git push " + c.push + " 2>&1; echo EXIT $?; }\n"
	}
	said := s.in(t, s.id, "", script)
	answers := strings.Split(said.Stdout, "PUSH\n")[1:]
	if len(answers) != len(list) {
		t.Fatalf("preparing the pushes: %s", said)
	}
	after := s.upstreamRefs(t)
	for i, c := range list {
		r := row{probe: "git: push " + c.what, control: control, expected: "refused, nothing at the upstream", observed: reason(answers[i])}
		problem := ""
		if strings.Contains(answers[i], "EXIT 0") {
			problem = "it was taken"
		}
		if after != before {
			problem = "the upstream has changed: " + after
		}
		table.add(t, r, problem)
	}
}

// reason is the line of git's output that says why.
func reason(said string) string {
	for line := range strings.Lines(said) {
		if strings.Contains(line, "rejected]") || strings.Contains(line, "fatal: ") {
			return strings.TrimSpace(line)
		}
	}
	return strings.Join(strings.Fields(said), " ")
}

// upstreamRefs asks the echo's repository itself, past the gate.
func (s *scene) upstreamRefs(t *testing.T) string {
	t.Helper()
	created, err := s.engine.ExecCreate(t.Context(), bundle.KindEcho.Name(s.id), client.ExecCreateOptions{
		AttachStdout: true, TTY: true, User: "65534", Cmd: []string{"sh", "-c", "git ls-remote /tmp/git*/app.git"},
	})
	if err != nil {
		t.Fatal(err)
	}
	attached, err := s.engine.ExecAttach(t.Context(), created.ID, client.ExecAttachOptions{TTY: true})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	said, err := io.ReadAll(attached.Reader)
	if err != nil || !strings.Contains(string(said), "refs/heads/main") {
		t.Fatalf("the upstream's refs: %q, %v", said, err)
	}
	return string(said)
}
