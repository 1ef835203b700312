package gitgate

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bottle.internal/internal/control"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/sshagent"
	"bottle.internal/tests/logtest"
	"bottle.internal/tests/shortdir"
	"bottle.internal/tests/sshd"
)

// world is an upstream behind sshd, a gate, and room for clients.
type world struct {
	t        testing.TB
	dir      string
	sshd     *sshd.Server
	upstream string // bare repository
	spec     Remote
	channel  *channel
	log      *logtest.Buffer
	url      string
	addr     string
	options  Options
	stop     func()
}

// channel plays init and the host.
type channel struct {
	agent   *sshagent.Agent
	inputs  chan control.Inputs
	first   control.Inputs
	mu      sync.Mutex
	asked   []approvalQuestion
	approve func(approvalQuestion) (approvalAnswer, error)
	silent  atomic.Bool // approvals are never answered
}

func (c *channel) FirstInputs(context.Context) (control.Inputs, error) { return c.first, nil }
func (c *channel) Inputs() <-chan control.Inputs                       { return c.inputs }

func (c *channel) Ask(ctx context.Context, kind string, body, answer any) error {
	switch kind {
	case "ssh-agent":
		q := body.(agentQuestion)
		message, err := base64.StdEncoding.DecodeString(q.Message)
		if err != nil {
			return err
		}
		reply, err := c.agent.Handle(q.Remote, q.Session, message)
		if err != nil {
			return err
		}
		answer.(*agentAnswer).Message = base64.StdEncoding.EncodeToString(reply)
		return nil
	case "push-approval":
		if c.silent.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		q := body.(approvalQuestion)
		c.asked = append(c.asked, q)
		if c.approve == nil {
			return errors.New("nobody is there")
		}
		var err error
		*answer.(*approvalAnswer), err = c.approve(q)
		return err
	}
	return fmt.Errorf("unknown question %s", kind)
}

func (c *channel) answer(approve func(approvalQuestion) (approvalAnswer, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.approve = approve
}

// newWorld starts everything. change may alter the configuration and the options.
func newWorld(t testing.TB, change func(*world, *Config)) *world {
	t.Helper()
	dir := shortdir.New(t)
	w := &world{t: t, dir: dir, upstream: dir + "/upstream/app.git", log: &logtest.Buffer{}, sshd: sshd.Start(t, dir)}
	w.must("", "init", "-q", "--bare", "-b", "main", w.upstream)
	w.spec = Remote{
		Name: "app", Host: "upstream.test", Port: w.sshd.Port, User: w.sshd.User, Path: w.upstream,
		KnownHostKey: fmt.Sprintf("[upstream.test]:%d %s", w.sshd.Port, w.sshd.HostLine),
		Branches:     []string{"bottle/*"}, Protect: []string{".github/workflows/**", ".gitmodules", "Jenkinsfile"},
	}
	config := Config{Remotes: []Remote{w.spec}}
	w.options = Options{
		Log: w.log, StateDir: dir + "/state", RunDir: dir + "/run", AnswerTime: time.Minute,
		DialCommand: []string{"env", dialEnv + "=" + w.sshd.Addr, os.Args[0]},
	}
	if change != nil {
		change(w, &config)
	}
	w.channel = &channel{inputs: make(chan control.Inputs, 1), first: inputs(t, config)}
	var err error
	w.channel.agent, err = sshagent.New([]sshagent.Remote{{
		Name: "app", User: w.spec.User, KnownHostKey: w.spec.KnownHostKey, Key: w.sshd.Client,
	}}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	w.options.Channel = w.channel
	w.start()
	return w
}

func inputs(t testing.TB, config Config) control.Inputs {
	t.Helper()
	data, err := Render(config)
	if err != nil {
		t.Fatal(err)
	}
	return control.Inputs{ConfigFile: secret.New(string(data))}
}

// start runs the gate as the daemon does.
func (w *world) start() {
	w.t.Helper()
	gate, err := New(w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := gate.apply(w.channel.first); err != nil {
		w.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr = listener.Addr().String()
	w.url = "http://" + w.addr + "/app.git"
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { gate.reloadOn(ctx) })
	running.Go(func() {
		if err := gate.Serve(ctx, listener); err != nil {
			w.t.Error(err)
		}
	})
	w.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		left, _ := os.ReadDir(gate.quarantines())
		if len(left) > 0 {
			w.t.Errorf("%d left in quarantine: %v", len(left), left)
		}
	})
	w.t.Cleanup(w.stop)
}

// run runs the real git, as the agent or the owner of the upstream would.
func (w *world) run(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir + "/home", "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com",
		"GIT_CONFIG_COUNT=3", "GIT_CONFIG_KEY_0=protocol.file.allow", "GIT_CONFIG_VALUE_0=always",
		"GIT_CONFIG_KEY_1=init.defaultBranch", "GIT_CONFIG_VALUE_1=main", "GIT_CONFIG_KEY_2=advice.detachedHead", "GIT_CONFIG_VALUE_2=false",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *world) must(dir string, args ...string) string {
	w.t.Helper()
	out, err := w.run(dir, args...)
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s\nlog: ...%s", strings.Join(args, " "), err, out, lastOf(w.log.String()))
	}
	return strings.TrimSpace(out)
}

// seed gives the upstream a branch main with one commit.
func (w *world) seed() {
	w.t.Helper()
	dir := w.dir + "/seed"
	w.must("", "init", "-q", dir)
	w.commit(dir, "README.md", "hello\n")
	w.must(dir, "push", "-q", w.upstream, "HEAD:refs/heads/main")
}

// clone is a clone through the gate with a branch of the agent's.
func (w *world) clone(name string) string {
	w.t.Helper()
	dir := filepath.Join(w.dir, name)
	w.must("", "clone", "-q", w.url, dir)
	w.must(dir, "checkout", "-q", "-b", "bottle/"+name)
	return dir
}

func (w *world) commit(dir, file, text string) string {
	w.t.Helper()
	write(w.t, filepath.Join(dir, file), text)
	w.must(dir, "add", "-A")
	w.must(dir, "commit", "-q", "-m", "change "+file)
	return w.must(dir, "rev-parse", "HEAD")
}

// refused pushes and wants it to fail with a text.
func (w *world) refused(dir, want string, args ...string) {
	w.t.Helper()
	before := w.must(w.upstream, "for-each-ref")
	out, err := w.run(dir, append([]string{"push"}, args...)...)
	if err == nil || !strings.Contains(out, want) {
		w.t.Errorf("push %v: %v, want %q in\n%s\nlog: ...%s", args, err, want, out, lastOf(w.log.String()))
	}
	if after := w.must(w.upstream, "for-each-ref"); after != before {
		w.t.Errorf("the upstream changed:\n%s\n%s", before, after)
	}
}

func lastOf(log string) string { return log[max(0, len(log)-1500):] }

// events returns the lines of the log with an event.
func (w *world) events(event string) []line {
	w.t.Helper()
	var found []line
	for text := range strings.Lines(w.log.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			w.t.Errorf("not JSON: %s", text)
		}
		if l.Event == event {
			found = append(found, l)
		}
	}
	return found
}

// head is what the upstream has for a ref, or "".
func (w *world) head(ref string) string {
	out, _ := w.run(w.upstream, "rev-parse", "--verify", "--quiet", ref)
	return strings.TrimSpace(out)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
