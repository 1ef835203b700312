//go:build linux

package initd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bottle.internal/internal/control"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/program"
	"bottle.internal/tests/shortdir"
)

func TestLifeOfABundle(t *testing.T) {
	t.Parallel()
	port := fakenet.FreePort(t)
	r := startInit(t, quick(), testDaemon("web", "serve", port))
	if _, err := get(t, port, "/"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("before the bootstrap the daemon says %v", err)
	}
	r.boot(control.Bootstrap{})
	if got, err := get(t, port, "/hello"); got != "daemon /hello" || err != nil {
		t.Errorf("the daemon says %q, %v", got, err)
	}
	var stdout, stderr bytes.Buffer
	if code := Health(t.Context(), r.config.HealthSocket, &stdout, &stderr); code != 0 || stdout.String() != "init running\nweb ok\n" || stderr.Len() > 0 {
		t.Errorf("health = %d, %q, %q", code, &stdout, &stderr)
	}
	r.logged("web| up")
	if err := r.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.waitOnce(); err != nil {
		t.Errorf("init ended with %v", err)
	}
	for _, line := range []string{"init| ready\n", "init| ending: terminated\n", "web| got terminated\n"} {
		if !strings.Contains(r.log.String(), line) {
			t.Errorf("the log lacks %q:\n%s", line, r.log)
		}
	}
}

func TestKilledDaemonComesBack(t *testing.T) {
	t.Parallel()
	port := fakenet.FreePort(t)
	r := startInit(t, DefaultTiming(), testDaemon("web", "serve", port))
	r.boot(control.Bootstrap{})
	pid := pidOf(t, r.event(control.Started))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := r.event(control.Died); e != (control.Event{Daemon: "web", What: "death", Detail: "killed by signal killed"}) {
		t.Errorf("event %+v", e)
	}
	if e := r.event(control.Restarting); e.Detail != "100ms" {
		t.Errorf("event %+v", e)
	}
	if again := pidOf(t, r.event(control.Started)); again == pid {
		t.Errorf("pid %d again", again)
	}
	eventually.True(t, "the daemon serves again", func() bool { got, _ := get(t, port, "/"); return got == "daemon /" })
}

func pidOf(t *testing.T, e control.Event) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimPrefix(e.Detail, "pid "))
	if err != nil {
		t.Fatalf("event %+v", e)
	}
	return pid
}

func TestInitGivesUpButGoesOnTrying(t *testing.T) {
	t.Parallel()
	r := startInit(t, quick(), testDaemon("bad", "crash", 0))
	if err := r.host.Bootstrap(t.Context(), control.Bootstrap{}); err != nil {
		t.Fatal(err)
	}
	gaveUp := 0
	for deaths := 0; deaths < 8; {
		switch e := <-r.host.Events(); e.What {
		case control.Died:
			deaths++
			if e.Detail != "exit status 7" {
				t.Errorf("event %+v", e)
			}
		case control.GaveUp:
			gaveUp++
			if deaths != 5 || e.Detail != "5 deaths within 1m0s; trying every 40ms" {
				t.Errorf("after %d deaths: %+v", deaths, e)
			}
		}
	}
	if gaveUp != 1 {
		t.Errorf("gave up %d times", gaveUp)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	t.Parallel()
	r := startInit(t, quick(), testDaemon("web", "orphan", 0))
	r.boot(control.Bootstrap{})
	leaf, parent := r.find(`web\| leaf (\d+) of (\d+)`)
	if parent != r.process.Pid() {
		t.Errorf("the orphan's parent is %d, init is %d", parent, r.process.Pid())
	}
	eventually.True(t, "the dead orphan is reaped", func() bool { state, _ := status(leaf); return state == 0 })
}

// Only its supervisor may learn how a daemon ended.
func TestReaperLeavesOurChildrenAlone(t *testing.T) {
	t.Parallel()
	r := newReaper()
	process, err := r.start(t.Context(), execx.Cmd{Path: os.Args[0], Args: []string{"crash"}, Env: []string{roleEnv + "=daemon"}})
	if err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the child is dead", func() bool { state, _ := status(process.Pid()); return state == 'Z' })
	r.reap()
	if got := describe(r.wait(process)); got != "exit status 7" {
		t.Errorf("the child's end: %s", got)
	}
}

func TestWhatADaemonStartedDiesWithIt(t *testing.T) {
	t.Parallel()
	r := startInit(t, strict(), testDaemon("web", "parent", 0))
	r.boot(control.Bootstrap{})
	child, _ := r.find(`web\| child (\d+) <nil>()`)
	if err := syscall.Kill(pidOf(t, r.event(control.Started)), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the child is gone", func() bool { state, _ := status(child); return state == 0 })
}

// find waits for a line of the log and returns the two numbers in it.
func (r *running) find(pattern string) (first, second int) {
	r.t.Helper()
	line := regexp.MustCompile(pattern)
	var found []string
	eventually.True(r.t, "log line "+pattern, func() bool { found = line.FindStringSubmatch(r.log.String()); return found != nil })
	if found == nil {
		r.t.FailNow()
	}
	first, _ = strconv.Atoi(found[1])
	second, _ = strconv.Atoi(found[2])
	return first, second
}

func TestStopKillsTheStubborn(t *testing.T) {
	t.Parallel()
	r := startInit(t, strict(), testDaemon("web", "stubborn", 0))
	r.boot(control.Bootstrap{})
	pid := pidOf(t, r.event(control.Started))
	r.logged("web| up")
	begin := time.Now()
	if err := r.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.waitOnce(); err != nil {
		t.Errorf("init ended with %v", err)
	}
	if took := time.Since(begin); took < strict().Grace {
		t.Errorf("killed after %v, before its grace period was over", took)
	}
	r.logged("web| got terminated")
	if state, _ := status(pid); state != 0 {
		t.Errorf("the daemon is still there: %c", state)
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	r := startInit(t, quick(), testDaemon("web", "wait", 0))
	r.boot(control.Bootstrap{})
	r.event(control.Started)
	r.logged("web| up")
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE} {
		if err := r.process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.host.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.waitOnce(); err != nil {
		t.Errorf("init ended with %v", err)
	}
	for _, never := range []string{"user defined", "hangup", "broken pipe"} {
		if strings.Contains(r.log.String(), never) {
			t.Errorf("the log has %q:\n%s", never, r.log)
		}
	}
}

// Each daemon gets its own inputs, on a socket, and nothing of them is anywhere else.
func TestInputsReachTheirDaemonAlone(t *testing.T) {
	t.Parallel()
	r := startInit(t, quick(), testDaemon("egress", "inputs", 0), testDaemon("other", "inputs", 0))
	r.boot(control.Bootstrap{Inputs: map[string]control.Inputs{"egress": {"TOKEN": secret.New("hunter2")}}})
	r.logged("egress| inputs: TOKEN=hunter2")
	r.logged("other| inputs:")
	if strings.Contains(r.log.String(), "other| inputs: TOKEN") {
		t.Errorf("another daemon got them:\n%s", r.log)
	}
	for _, e := range []control.Event{r.event(control.Started), r.event(control.Started)} {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pidOf(t, e)))
		if err != nil || bytes.Contains(environ, []byte("hunter2")) {
			t.Errorf("environment of %s: %q, %v", e.Daemon, environ, err)
		}
	}
}

// New inputs reach a running daemon, and a daemon that comes back later.
func TestDeliver(t *testing.T) {
	t.Parallel()
	r := startInit(t, quick(), testDaemon("egress", "inputs", 0), testDaemon("other", "inputs", 0))
	r.boot(control.Bootstrap{Inputs: map[string]control.Inputs{"egress": {"ROUTES": secret.New("one")}}})
	r.logged("egress| inputs: ROUTES=one")
	pid := 0
	for range 2 {
		if e := r.event(control.Started); e.Daemon == "egress" {
			pid = pidOf(t, e)
		}
	}
	if err := r.host.Deliver(t.Context(), control.Deliver{Daemon: "egress", Inputs: control.Inputs{"ROUTES": secret.New("two")}}); err != nil {
		t.Fatal(err)
	}
	if e := r.event(control.Delivered); e.Daemon != "egress" {
		t.Errorf("event %+v", e)
	}
	r.logged("egress| inputs: ROUTES=two")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "it starts with the new inputs", func() bool {
		return strings.Count(r.log.String(), "egress| inputs: ROUTES=two") == 2
	})
	if strings.Contains(r.log.String(), "other| inputs: ROUTES") {
		t.Errorf("another daemon got them:\n%s", r.log)
	}
}

// Init says who asks, and an answer goes to that daemon alone.
func TestQuestions(t *testing.T) {
	t.Parallel()
	r := startInit(t, quick(), testDaemon("egress", "ask", 0), testDaemon("git-gate", "ask", 0))
	r.boot(control.Bootstrap{})
	for range 2 {
		q := <-r.host.Questions()
		if q.Kind != "token" || string(q.Body) != `{"n":1}` {
			t.Errorf("question %+v", q)
		}
		var problem error
		if q.Daemon == "git-gate" {
			problem = errors.New("not for you")
		}
		if err := r.host.Answer(t.Context(), q, map[string]string{"for": q.Daemon}, problem); err != nil {
			t.Fatal(err)
		}
	}
	r.logged(`egress| answer: map[for:egress] <nil>`)
	r.logged(`git-gate| answer: map[] asking for token: not for you`)
}

// A host that is gone is a refusal, not a wait.
func TestQuestionsWithoutAHost(t *testing.T) {
	t.Parallel()
	r := startInit(t, quick(), testDaemon("egress", "ask", 0))
	r.boot(control.Bootstrap{})
	<-r.host.Questions()
	if err := r.host.Close(); err != nil {
		t.Fatal(err)
	}
	r.logged(`egress| answer: map[] asking for token: the host went away`)
}

// As root every daemon has a uid of its own, and no capability.
func TestUIDs(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can change uids")
	}
	one, two := testDaemon("one", "whoami", 0), testDaemon("two", "whoami", 0)
	one.UID, two.UID = 64001, 64002
	one.Path = readableCopy(t)
	two.Path = one.Path
	r := startInit(t, quick(), one, two)
	r.boot(control.Bootstrap{})
	r.logged("one| uid 64001 gid 64001 groups [] caps 0000000000000000")
	r.logged("two| uid 64002 gid 64002 groups [] caps 0000000000000000")
}

// readableCopy is the test binary where everybody can run it.
func readableCopy(t *testing.T) string {
	t.Helper()
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := shortdir.New(t)
	path := filepath.Join(dir, "daemon")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program.Write(t, path, self)
	return path
}

func TestReadyWaitsForHealth(t *testing.T) {
	t.Parallel()
	r := startInit(t, quick(), testDaemon("web", "sick", fakenet.FreePort(t)))
	var stdout, stderr bytes.Buffer
	health := func() (int, string) {
		stdout.Reset()
		code := Health(t.Context(), r.config.HealthSocket, &stdout, &stderr)
		return code, stdout.String()
	}
	eventually.True(t, "init answers", func() bool { _, said := health(); return said == "init waiting for bootstrap\n" })
	if err := r.host.Bootstrap(t.Context(), control.Bootstrap{}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the daemon is sick", func() bool { code, said := health(); return code == 1 && said == "init running\nweb answers 503\n" })
	if strings.Contains(r.log.String(), "init| ready") {
		t.Error("ready with a sick daemon")
	}
	cure := control.Deliver{Daemon: "web", Inputs: control.Inputs{"cure": secret.New("yes")}}
	if err := r.host.Deliver(t.Context(), cure); err != nil {
		t.Fatal(err)
	}
	if err := r.host.WaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	if code, said := health(); code != 0 {
		t.Errorf("health = %d, %q", code, said)
	}
}

func TestNoDaemonsIsReadyAtOnce(t *testing.T) {
	t.Parallel()
	r := startInit(t, quick(), testDaemon("web", "wait", 0))
	r.boot(control.Bootstrap{Daemons: []string{}})
	if strings.Contains(r.log.String(), "web") {
		t.Errorf("log:\n%s", r.log)
	}
}
