package launch_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"bottle.internal/internal/guest"
	"bottle.internal/internal/launch"
	"bottle.internal/pkg/smolvm"
)

type fakeMachine struct{ w *world }

func (m fakeMachine) Create(ctx context.Context, o smolvm.CreateOptions) error {
	m.w.record(fmt.Sprintf("%+v", o))
	for _, socket := range o.Sockets {
		if info, err := os.Lstat(socket.Host); err != nil || info.Mode()&os.ModeSocket == 0 || info.Mode().Perm() != 0o600 {
			m.w.t.Errorf("at create, socket %s is %v, %v", socket.Host, info, err)
		}
	}
	m.w.set("machine", true) // even if it fails: half of it may be there
	return m.w.step(ctx, "create")
}

func (m fakeMachine) Start(ctx context.Context, name string) error {
	m.w.record(name)
	return m.w.step(ctx, "start")
}

func (m fakeMachine) WaitReady(ctx context.Context, name string) error {
	m.w.record(name)
	return m.w.step(ctx, "ready")
}

func (m fakeMachine) Delete(ctx context.Context, name string) error {
	m.w.record(name)
	if len(m.w.plan.Ports) != len(m.w.sockets()) {
		m.w.t.Error("the sockets went before the machine")
	}
	return m.w.undoStep(ctx, "delete", "machine")
}

func (m fakeMachine) Exec(ctx context.Context, o smolvm.ExecOptions) (int, error) {
	m.w.record(o.Name, o.Workdir)
	m.w.record(o.Command...)
	var stdin []byte
	words := strings.Join(o.Command, " ")
	switch {
	case strings.Contains(words, " health "):
		return m.w.healthCheck(ctx)
	case strings.Contains(words, " winsize "):
		return 0, m.w.step(ctx, strings.Join(o.Command[3:], "x"))
	case strings.Contains(words, "-- bottle-demo"):
		return m.w.runAgent(ctx, o)
	case strings.Contains(words, " tar "):
		stdin, _ = io.ReadAll(o.Stdin)
		m.w.mu.Lock()
		m.w.archives = append(m.w.archives, string(stdin))
		m.w.mu.Unlock()
		if err := m.w.step(ctx, "files"); err != nil {
			return -1, err
		}
	default:
		if err := m.w.step(ctx, "command"); err != nil {
			return -1, err
		}
	}
	_, err := io.WriteString(o.Stderr, frame(o, 0))
	return 0, err
}

// frame is what bottle-guest prints for its caller at the end.
func frame(o smolvm.ExecOptions, code int) string {
	at := slices.Index(o.Command, "--nonce")
	return guest.Frame(guest.Nonce(o.Command[at+1]), code)
}

func (w *world) healthCheck(ctx context.Context) (int, error) {
	if err := w.step(ctx, "health"); err != nil {
		return -1, err
	}
	w.mu.Lock()
	w.asked++
	call := w.asked
	w.mu.Unlock()
	if w.health == nil {
		return 0, nil
	}
	return w.health(ctx, call)
}

func (w *world) runAgent(ctx context.Context, o smolvm.ExecOptions) (int, error) {
	if err := w.step(ctx, "agent"); err != nil {
		return -1, err
	}
	out := o.Stderr
	if o.TTY {
		out = o.Stdout
	}
	text := frame(o, 0)
	if w.agent != nil {
		var err error
		if text, err = w.agent(ctx, o); err != nil {
			_, _ = io.WriteString(out, text)
			return -1, err
		}
	}
	_, err := io.WriteString(out, text)
	return 0, err
}

type fakeSidecars struct{ w *world }

func (s fakeSidecars) Start(ctx context.Context, spec launch.SidecarSpec) (launch.Sidecar, error) {
	s.w.mu.Lock()
	s.w.spec = spec
	s.w.mu.Unlock()
	if err := s.w.step(ctx, "bundle"); err != nil {
		return nil, err // a Start that fails leaves nothing behind
	}
	s.w.set("bundle", true)
	_, _ = io.WriteString(spec.Log, "firewall| {\"event\":\"allow\",\"host\":\"echo.bottle.test\",\"port\":443}\n")
	return fakeSidecar(s), nil
}

type fakeSidecar struct{ w *world }

func (s fakeSidecar) Gate() string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.gateAddr
}

func (s fakeSidecar) Reach(context.Context, string) error { return nil }

func (s fakeSidecar) Close(ctx context.Context) error {
	if len(s.w.plan.Ports) != len(s.w.sockets()) {
		s.w.t.Error("the sockets went before the bundle")
	}
	return s.w.undoStep(ctx, "close", "bundle")
}

// output collects what the agent's streams got.
type output struct{ stdout, stderr bytes.Buffer }

func (o *output) stdio() launch.Stdio { return launch.Stdio{Stdout: &o.stdout, Stderr: &o.stderr} }
