package launch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/boundary"
	"bottle.internal/internal/control"
	"bottle.internal/internal/event"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
	"bottle.internal/tests/shortdir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errInjected = errors.New("injected failure")

// world plays everything that a launch has effects on. It keeps what exists, and checks
// at every call that what must exist at that moment does.
type world struct {
	t     *testing.T
	state *state.Root
	plan  plan.Plan

	fail  string        // this step fails
	block string        // this step waits for the end of its context
	stuck chan struct{} // closed when it waits

	mu         sync.Mutex
	calls      []string        // in order
	exists     map[string]bool // what has to be undone
	argv       []string        // every word that a process list would have shown
	archives   []string        // what provisioning sent on stdin
	fresh      []string        // programs that were run in place of the guest's
	spec       launch.SidecarSpec
	inputs     map[string]control.Inputs // the newest that were delivered
	delivered  []string
	audited    []string
	records    []audit.Record
	hidden     []string
	secrets    launch.Secrets
	auditFails chan struct{} // closed when the log can take no more
	audit      launch.Audit  // nil: a fakeAudit
	gateAddr   string
	cut        bool // the sockets may go at any time

	targets func(context.Context) (*boundary.Targets, error)
	probed  func([]probe.Probe, []probe.Observation) []probe.Observation    // nil: as said
	health  func(ctx context.Context, call int) (int, error)                // nil: fine at once
	agent   func(ctx context.Context, o smolvm.ExecOptions) (string, error) // nil: exit 0; returns the frame's text
	asked   int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root, err := state.OpenRoot(filepath.Join(shortdir.New(t), "bottle"))
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, state: root, plan: demoPlan(), exists: map[string]bool{}, stuck: make(chan struct{}), targets: boundary.Open, inputs: map[string]control.Inputs{}, auditFails: make(chan struct{})}
}

const (
	envValue    = "host-value-a1b2c3"
	answerValue = "answer-value-d4e5f6"
	literal     = "literal-value-071829"
	prompt      = "the prompt's very own words\n"
)

func demoPlan() plan.Plan {
	return plan.Plan{
		Identity: "demo-aaaaa", Agent: "demo", Bottle: "dev", Command: []string{"bottle-demo", "--loud"},
		Workdir: "/home/agent/work", Prompt: plan.Prompt{Text: prompt, Guest: "/home/agent/.bottle/prompt.md"},
		Env: []plan.Env{
			{Name: "FROM_HOST", Source: "host", From: "X"},
			{Name: "ASKED", Source: "prompt", From: "what?"},
			{Name: "LITERAL", Source: "literal", Value: literal},
			{Name: "CANARY", Source: plan.SourceLaunch},
		},
		VM:       plan.VM{Name: "bottle-demo-aaaaa", Tool: "smolvm", Version: "1.9.3", CPUs: 1, MemoryMiB: 512, DiskGiB: 10},
		Daemons:  []string{"firewall"},
		Ports:    []plan.Port{{Daemon: "firewall", Guest: plan.PortFirewall}, {Daemon: "git-gate", Guest: plan.PortGitGate}},
		Firewall: plan.Firewall{Engine: "builtin", Hosts: []plan.Host{{Host: "echo.bottle.test", Port: 443, Scheme: "https", Private: true, Mode: "plain"}}},
		Echo:     []string{"echo.bottle.test", "unlisted.bottle.test"},
		Labels:   map[string]string{"bottle.identity": "demo-aaaaa"},

		Workspace: &plan.Workspace{Dir: "/home/me/project"},
	}
}

func (w *world) deps() launch.Deps {
	if w.audit == nil {
		w.audit = fakeAudit{w}
	}
	return launch.Deps{
		Machine: fakeMachine{w}, Tool: smolvm.Tool{Name: "smolvm", Path: "/bin/true", Version: smolvm.Version{Major: 1, Minor: 9, Patch: 3}},
		Sidecars: fakeSidecars{w},
		Artifact: func(ctx context.Context) (launch.Artifact, error) {
			return launch.Artifact{Path: "/cache/x.smolmachine"}, w.step(ctx, "artifact")
		},
		Values:  map[string]secret.Value{"FROM_HOST": secret.New(envValue), "ASKED": secret.New(answerValue)},
		Prompt:  []byte(prompt),
		Fill:    w.fill,
		Secrets: w.secrets,
		Audit:   w.audit,
		Program: func(context.Context) ([]byte, error) { return []byte("\x7fELF fresh"), nil },
		Targets: w.targets,
		State:   w.state,
		Release: func() error { return w.undoStep(context.Background(), "release", "") },
		Events:  event.Discard(), PID: os.Getpid(), Now: time.Now,
	}
}

// fill copies a workspace by one program in the machine.
func (w *world) fill(ctx context.Context, run guestexec.Runner) error {
	if err := w.step(ctx, "workspace"); err != nil {
		return err
	}
	code, err := run(ctx, guestexec.Command{Argv: []string{"unpack"}, Workdir: "/", Root: true}, guestexec.Stdio{Stdout: io.Discard, Stderr: io.Discard})
	if code != 0 || err != nil {
		w.t.Errorf("unpack = %d, %v", code, err)
	}
	return nil
}

func (w *world) start(ctx context.Context) (*launch.Bottle, error) {
	return launch.Start(ctx, w.plan, w.deps())
}

// step is one effect of a launch: it happens, fails, or hangs.
func (w *world) step(ctx context.Context, name string) error {
	w.mu.Lock()
	w.calls = append(w.calls, name)
	w.mu.Unlock()
	if name == w.block {
		close(w.stuck)
		<-ctx.Done()
		return fmt.Errorf("%s: %w", name, ctx.Err())
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if name == w.fail {
		return errInjected
	}
	return nil
}

// undoStep takes thing away. ctx must still be alive: a teardown outlives a ^C.
func (w *world) undoStep(ctx context.Context, name, thing string) error {
	if err := ctx.Err(); err != nil {
		w.t.Errorf("%s is called with a context that has ended: %v", name, err)
	}
	if w.instance("") == nil {
		w.t.Errorf("at %s the instance is not listed any more", name)
	}
	err := w.step(ctx, name)
	if err == nil {
		w.set(thing, false)
	}
	return err
}

func (w *world) set(thing string, there bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.exists, thing)
	if there {
		w.exists[thing] = true
	}
}

func (w *world) record(words ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.argv = append(w.argv, words...)
}

func (w *world) called() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// instance is the directory entry name of the instance, or nil when it is gone.
func (w *world) instance(name string) os.FileInfo {
	info, err := os.Lstat(filepath.Join(w.state.Dir(), w.plan.Identity, name))
	if err != nil {
		return nil
	}
	return info
}

func (w *world) sockets() []string {
	found, err := filepath.Glob(filepath.Join(w.state.Dir(), w.plan.Identity, state.SocketDir, "*.sock"))
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// nothingLeft fails the test when anything of a launch still exists.
func (w *world) nothingLeft() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.exists) > 0 {
		w.t.Errorf("left: %v", w.exists)
	}
	entries, err := os.ReadDir(w.state.Dir())
	if err != nil || len(entries) > 0 {
		w.t.Errorf("the state directory holds %v, %v", entries, err)
	}
	if released := strings.Count(strings.Join(w.calls, " "), "release"); released != 1 {
		w.t.Errorf("released %d times", released)
	}
}
