package echo_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"bottle.internal/internal/echo"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/need"
)

// gitRun is an upstream with a repository, and a client with its key.
type gitRun struct {
	*running

	dir, host, port string
	key             secret.Value
}

type gitLine struct {
	Event, Time, Repository, Command string
	Exit                             int
	Refs                             map[string]string
}

// needSSH skips without the client program, unless BOTTLE_REQUIRE asks for it.
func needSSH(t *testing.T) {
	t.Helper()
	for _, program := range []string{"ssh", "git"} {
		_, err := execx.Find(program)
		need.Need(t, "ssh", err)
	}
}

func startGit(t *testing.T) *gitRun {
	t.Helper()
	hostKey, hostPublic, err := echo.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, public, err := echo.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	g := &gitRun{dir: t.TempDir(), key: key}
	g.running = startWith(t, &echo.Git{Listen: "127.0.0.1:0", HostKey: hostKey, AuthorizedKey: public, Repositories: []string{"app.git", "lib.git"}})
	if g.host, g.port, err = net.SplitHostPort(g.git); err != nil {
		t.Fatal(err)
	}
	g.write(t, "key", key.Reveal())
	g.write(t, "known_hosts", fmt.Sprintf("[%s]:%s %s\n", g.host, g.port, hostPublic))
	return g
}

func (g *gitRun) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (g *gitRun) sshOptions(key string) []string {
	return []string{
		"-F", "none", "-p", g.port, "-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + filepath.Join(g.dir, "known_hosts"), "-o", "GlobalKnownHostsFile=none", "-o", "LogLevel=ERROR",
	}
}

// run runs a program of the client and returns everything that it printed.
func (g *gitRun) run(t *testing.T, path string, args ...string) (string, int) {
	t.Helper()
	var out, problems bytes.Buffer
	err := execx.Run(t.Context(), execx.Cmd{
		Path: path, Args: args, Dir: g.dir, Stdout: &out, Stderr: &problems,
		Env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1",
			"GIT_SSH_COMMAND=ssh " + strings.Join(g.sshOptions(filepath.Join(g.dir, "key")), " "),
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@a.test", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@a.test",
		},
	})
	exit := (*execx.ExitError)(nil)
	switch {
	case errors.As(err, &exit):
		return out.String() + problems.String(), exit.Code
	case err != nil:
		t.Fatal(err)
	}
	return out.String() + problems.String(), 0
}

func (g *gitRun) good(t *testing.T, path string, args ...string) string {
	t.Helper()
	out, code := g.run(t, path, args...)
	if code != 0 {
		t.Fatalf("%s %q: exit %d: %s", path, args, code, out)
	}
	return out
}

func (g *gitRun) url(repository string) string {
	return fmt.Sprintf("ssh://git@%s/%s", net.JoinHostPort(g.host, g.port), repository)
}

// firstCommit is the same in every repository and every launch.
const firstCommit = "eead1722864296e21fd69f9c8c0901018f2cc1d8"

// TestGit: a real client clones and pushes; each command is one line of the log.
func TestGit(t *testing.T) {
	t.Parallel()
	needSSH(t)
	g := startGit(t)
	var logged gitLine
	g.good(t, "git", "clone", "-q", g.url("app.git"), "work")
	g.line(t, &logged)
	if logged.Event != "git" || logged.Time == "" || logged.Repository != "app.git" || logged.Command != "upload-pack" || logged.Exit != 0 || logged.Refs["refs/heads/main"] != firstCommit {
		t.Errorf("clone: %s", g.last)
	}
	if text, err := os.ReadFile(filepath.Join(g.dir, "work", "README.md")); err != nil || string(text) != "This repository is behind the git gate.\n" {
		t.Errorf("%q, %v", text, err)
	}
	if out := g.good(t, "git", "-C", "work", "log", "--format=%an %ae %aI %s"); out != "bottle echo@bottle.test 2026-01-01T00:00:00+00:00 Begin\n" {
		t.Errorf("first commit: %q", out)
	}
	g.good(t, "git", "-C", "work", "commit", "-q", "--allow-empty", "-m", "second")
	g.good(t, "git", "-C", "work", "push", "-q", "origin", "HEAD:refs/heads/topic")
	g.line(t, &logged)
	head := strings.TrimSpace(g.good(t, "git", "-C", "work", "rev-parse", "HEAD"))
	if logged.Command != "receive-pack" || logged.Exit != 0 || logged.Refs["refs/heads/topic"] != head {
		t.Errorf("push: %s", g.last)
	}
	out := g.good(t, "git", "ls-remote", g.url("lib.git"))
	if g.line(t, &logged); out != firstCommit+"\tHEAD\n"+firstCommit+"\trefs/heads/main\n" || logged.Repository != "lib.git" {
		t.Errorf("the other repository: %q, %s", out, g.last)
	}
}

// TestNothingElse: whoever has the key can use the two commands of the repositories, and
// neither a shell nor another path nor any forwarding.
func TestNothingElse(t *testing.T) {
	t.Parallel()
	needSSH(t)
	g := startGit(t)
	for _, url := range []string{g.url("other.git"), g.url("app"), g.url("app.git/"), g.url("../app.git"), g.url("./app.git")} {
		if out, code := g.run(t, "git", "ls-remote", url); code == 0 {
			t.Errorf("%s: %s", url, out)
		}
	}
	login := append(g.sshOptions(filepath.Join(g.dir, "key")), "git@"+g.host)
	for _, command := range []string{
		"", "sh", "id", "git-upload-pack", "git-upload-pack /app.git", "git-upload-pack '/app.git' ", "git-upload-pack '/app.git'; id", "git upload-pack '/app.git'",
		"git-upload-archive '/app.git'", "git-upload-pack '/app.git' '/lib.git'", "git-upload-pack  '/app.git'", "git-upload-pack '/APP.git'",
	} {
		args := login
		if command != "" {
			args = append(slices.Clip(args), command)
		}
		if out, code := g.run(t, "ssh", args...); code == 0 || strings.Contains(out, "uid=") {
			t.Errorf("%q: exit %d, %s", command, code, out)
		}
	}
	g.protocol(t)
	for _, args := range [][]string{{"-s", "sftp"}, {"-tt", "sh"}} {
		if out, code := g.run(t, "ssh", append(append(login[:len(login)-1:len(login)-1], args[0], login[len(login)-1]), args[1])...); code == 0 {
			t.Errorf("%q: %s", args, out)
		}
	}
	// What was served would have left a line before this one.
	g.good(t, "git", "ls-remote", g.url("lib.git"))
	var logged gitLine
	if g.line(t, &logged); logged.Repository != "lib.git" {
		t.Errorf("something was served: %s", g.last)
	}
}

// protocol uses the protocol itself for what the ssh program would not even ask.
func (g *gitRun) protocol(t *testing.T) {
	t.Helper()
	signer, err := ssh.ParsePrivateKey([]byte(g.key.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	dial := func(user string, auth ...ssh.AuthMethod) (*ssh.Client, error) {
		conn, err := net.Dial("tcp", g.git)
		if err != nil {
			return nil, err
		}
		_ = conn.SetDeadline(time.Now().Add(time.Minute)) // what is wrongly served may wait for us
		login, channels, requests, err := ssh.NewClientConn(conn, g.git, &ssh.ClientConfig{User: user, Auth: auth, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
		if err != nil {
			return nil, err
		}
		return ssh.NewClient(login, channels, requests), nil
	}
	client, err := dial("git", ssh.PublicKeys(signer))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := client.Dial("tcp", g.addr); err == nil || !strings.Contains(err.Error(), "prohibited") {
		t.Errorf("forwarding: %v", err)
	}
	if listener, err := client.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = listener.Close()
		t.Error("a remote forwarding is served")
	}
	for _, request := range []string{"shell", "pty-req", "env", "x11-req", "auth-agent-req@openssh.com", "subsystem"} {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		for _, payload := range [][]byte{nil, ssh.Marshal(struct{ Command string }{"git-upload-pack '/app.git'"})} {
			if ok, err := session.SendRequest(request, true, payload); ok || err != nil {
				t.Errorf("%s %q: %v, %v", request, payload, ok, err)
			}
		}
		_ = session.Close()
	}
	for name, auth := range map[string]ssh.AuthMethod{"password": ssh.Password("x"), "another key": anotherKey(t)} {
		if client, err := dial("git", auth); err == nil {
			_ = client.Close()
			t.Errorf("%s lets in", name)
		}
	}
	for _, user := range []string{"root", "", "GIT"} {
		if client, err := dial(user, ssh.PublicKeys(signer)); err == nil {
			_ = client.Close()
			t.Errorf("user %q gets in", user)
		}
	}
}

func anotherKey(t *testing.T) ssh.AuthMethod {
	t.Helper()
	key, _, err := echo.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey([]byte(key.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	return ssh.PublicKeys(signer)
}
