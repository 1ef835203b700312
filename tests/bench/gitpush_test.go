//go:build integration

package bench

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bottle.internal/internal/control"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/gitgate"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/sshagent"
	"bottle.internal/tests/shortdir"
)

const commits = 100 // of a push

// forge is a repository that can be pushed to through the gate, and one to push to past it.
type forge struct {
	b       *testing.B
	dir     string
	sshd    string // address
	keys    sshagent.Remote
	agent   *sshagent.Agent
	ready   chan string // the gate's address
	inputs  control.Inputs
	pushes  int
	ahead   atomic.Int64  // by how much the gate's clock is
	settled chan struct{} // the gate has looked at the upstream after a push

	mu      sync.Mutex
	log     []logged
	allowed bool   // the last push, and the mirror does not know it yet
	through string // URL of the gate
	past    string // URL of git's own server
	direct  string // URL of the same sshd without the gate
}

func newForge(b *testing.B) *forge {
	b.Helper()
	dir := shortdir.New(b)
	f := &forge{b: b, dir: dir, ready: make(chan string, 1), settled: make(chan struct{}, 1)}
	f.git("", nil, "init", "-q", "-b", "main", dir+"/seed")
	f.git(dir+"/seed", nil, "commit", "-q", "--allow-empty", "-m", "first")
	for _, bare := range []string{"gated", "plain", "ssh"} {
		f.git("", nil, "clone", "-q", "--bare", dir+"/seed", f.dir+"/"+bare+"/app.git")
	}
	f.startSSHD()
	f.startGate()
	f.startPlain()
	f.git("", nil, "ls-remote", f.through) // makes the mirror
	return f
}

// git runs the person's git without the person's configuration.
func (f *forge) git(dir string, stdin io.Reader, args ...string) string {
	f.b.Helper()
	var out, problem bytes.Buffer
	err := execx.Run(f.b.Context(), execx.Cmd{
		Path: "git", Args: args, Dir: dir, Stdin: stdin, Stdout: &out, Stderr: &problem,
		Env: []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + f.dir, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C", "GIT_TERMINAL_PROMPT=0",
			"GIT_SSH_COMMAND=ssh -F none -i " + f.dir + "/client_key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
			"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@bottle.test", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@bottle.test",
		},
	})
	if err != nil {
		f.b.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, problem.String())
	}
	return strings.TrimSpace(out.String())
}

// FirstInputs, Inputs and Ask are the host: it signs, and nobody approves anything.
func (f *forge) FirstInputs(context.Context) (control.Inputs, error) { return f.inputs, nil }

// Inputs implements [gitgate.Channel].
func (f *forge) Inputs() <-chan control.Inputs { return nil }

// Ask implements [gitgate.Channel] with the frames that travel to the host.
func (f *forge) Ask(_ context.Context, kind string, body, answer any) error {
	if kind != "ssh-agent" {
		return fmt.Errorf("nobody answers %s", kind)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	var question struct{ Remote, Session, Message string }
	if err := json.Unmarshal(raw, &question); err != nil {
		return err
	}
	message, err := base64.StdEncoding.DecodeString(question.Message)
	if err != nil {
		return err
	}
	reply, err := f.agent.Handle(question.Remote, question.Session, message)
	if err != nil {
		return err
	}
	raw, err = json.Marshal(map[string]string{"message": base64.StdEncoding.EncodeToString(reply)})
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, answer)
}

// logged is a line of the gate's log.
type logged struct {
	Event, Listen string
	Time          time.Time
	Millis        float64 `json:"duration_ms"`
}

// Write is the gate's log, which says where it listens, and when it is done with what.
func (f *forge) Write(line []byte) (int, error) {
	var said logged
	if err := json.Unmarshal(line, &said); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch said.Event {
	case "ready":
		f.ready <- said.Listen
	case "push-start", "push-allow":
		f.log = append(f.log, said)
		f.allowed = said.Event == "push-allow"
	case "refresh":
		if f.allowed {
			f.allowed = false
			f.settled <- struct{}{}
		}
	}
	return len(line), nil
}

// parts are the medians of what the gate does before and after the first byte goes out.
func (f *forge) parts() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var judging, forwarding spread
	for i := 0; i+1 < len(f.log); i += 2 {
		start, allow := f.log[i], f.log[i+1]
		sent := allow.Time.Sub(start.Time)
		forwarding.add(sent)
		judging.add(time.Duration(allow.Millis*float64(time.Millisecond)) - sent)
	}
	return fmt.Sprintf("the gate judged for %s and forwarded for %s", seconds(judging.median()), seconds(forwarding.median()))
}

func (f *forge) startGate() {
	f.b.Helper()
	var err error
	if f.agent, err = sshagent.New([]sshagent.Remote{f.keys}, time.Now); err != nil {
		f.b.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(f.sshd)
	remote := gitgate.Remote{
		Name: "app", Host: "upstream.test", User: f.keys.User, Path: f.dir + "/gated/app.git", KnownHostKey: f.keys.KnownHostKey,
		Branches: []string{"bottle/*"}, Protect: []string{".github/workflows/**"},
	}
	if _, err := fmt.Sscan(port, &remote.Port); err != nil {
		f.b.Fatal(err)
	}
	config, err := gitgate.Render(gitgate.Config{Remotes: []gitgate.Remote{remote}})
	if err != nil {
		f.b.Fatal(err)
	}
	f.inputs = control.Inputs{gitgate.ConfigFile: secret.New(string(config))}
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.b.Context()))
	served := make(chan error, 1)
	go func() {
		served <- gitgate.RunWith(ctx, gitgate.Options{
			Channel: f, Log: f, Listen: "127.0.0.1:0", StateDir: f.dir + "/state", RunDir: f.dir + "/run", AnswerTime: time.Minute,
			Now:         func() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) },
			DialCommand: []string{"env", dialEnv + "=" + f.sshd, os.Args[0]},
		})
	}()
	f.b.Cleanup(cancel)
	select {
	case address := <-f.ready:
		f.through = "http://" + address + "/app.git"
		f.b.Cleanup(func() {
			cancel()
			if err := <-served; err != nil {
				f.b.Error(err)
			}
		})
	case err := <-served:
		f.b.Fatal("the gate ended: ", err)
	}
}

// startPlain is git's own HTTP server.
func (f *forge) startPlain() {
	f.b.Helper()
	backend := filepath.Join(f.git("", nil, "--exec-path"), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		f.b.Skip(err)
	}
	f.git(f.dir+"/plain/app.git", nil, "config", "http.receivepack", "true")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(&cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + f.dir + "/plain", "GIT_HTTP_EXPORT_ALL=1"}}).ServeHTTP(w, r)
	}))
	f.b.Cleanup(server.Close)
	f.past = server.URL + "/app.git"
}

// push is one of new commits that the other side has not seen.
func (f *forge) push(what, url string) step {
	return step{fmt.Sprintf("push of %d commits %s", commits, what), func(b *testing.B) time.Duration {
		f.pushes++
		dir := fmt.Sprintf("%s/work-%d", f.dir, f.pushes)
		f.git("", nil, "clone", "-q", f.dir+"/seed", dir)
		f.git(dir, f.history(f.git(dir, nil, "rev-parse", "HEAD")), "fast-import", "--quiet")
		begin := time.Now()
		f.git(dir, nil, "push", "-q", url, fmt.Sprintf("work:refs/heads/bottle/%d", f.pushes))
		return time.Since(begin)
	}}
}

// gated is a push through the gate, so long after the last look at the upstream.
func (f *forge) gated(later time.Duration) step {
	push := f.push("through the gate", f.through)
	if later > 0 {
		push.what += fmt.Sprintf(", unused for %.0f minutes", later.Minutes())
	}
	return step{push.what, func(b *testing.B) time.Duration {
		f.ahead.Add(int64(later))
		took := push.run(b)
		select { // what the gate does afterwards must not disturb the other side
		case <-f.settled:
		case <-time.After(time.Minute):
			b.Fatal("the gate does not look at the upstream again")
		}
		return took
	}}
}

// history is small commits of Go code on top of another, for fast-import.
func (f *forge) history(parent string) io.Reader {
	var out bytes.Buffer
	for i := range commits {
		message := fmt.Sprintf("change %d of push %d\n", i, f.pushes)
		text := fmt.Sprintf("package p%d\n\nfunc f%d() int { return %d }\n", f.pushes, i, i)
		fmt.Fprintf(&out, "commit refs/heads/work\ncommitter A <a@bottle.test> %d +0000\ndata %d\n%s", 1700000000+i, len(message), message)
		if i == 0 {
			fmt.Fprintf(&out, "from %s\n", parent)
		}
		fmt.Fprintf(&out, "M 100644 inline d%d/f%d.go\ndata %d\n%s\n", i%10, i, len(text), text)
	}
	return &out
}

// BenchmarkGitPush is a push that the gate unpacks, judges, scans and forwards over ssh,
// against the same push to git's own HTTP server, which only takes it.
func BenchmarkGitPush(b *testing.B) {
	f := newForge(b)
	compare(b, runs(b, 7), f.gated(0), f.push("to git http-backend", f.past),
		goal{"ours at most 300 ms more", func(ours, against float64) bool { return ours-against <= 300 }})
	note(b, f.parts())
}

// BenchmarkGitPushPeerSSH is the same against a push over ssh without the gate: how much
// of the time is one connection of ssh.
func BenchmarkGitPushPeerSSH(b *testing.B) {
	f := newForge(b)
	compare(b, runs(b, 7), f.gated(0), f.push("over ssh to the same server", f.direct), goal{})
}

// BenchmarkGitPushLater is the first push after a while: the gate asks the upstream what
// it has before, over one more connection.
func BenchmarkGitPushLater(b *testing.B) {
	f := newForge(b)
	compare(b, runs(b, 5), f.gated(10*time.Minute), f.push("over ssh to the same server", f.direct), goal{})
}
