package launch_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/control"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/launch"
	"bottle.internal/internal/secret"
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

func (m fakeMachine) Stop(ctx context.Context, name string) error {
	m.w.record(name)
	if len(m.w.plan.Ports) != len(m.w.sockets()) {
		m.w.t.Error("the sockets went before the machine")
	}
	return m.w.undoStep(ctx, "stop", "running")
}

func (m fakeMachine) Delete(ctx context.Context, name string) error {
	m.w.record(name)
	if len(m.w.plan.Ports) != len(m.w.sockets()) && !m.w.cut {
		m.w.t.Error("the sockets went before the machine")
	}
	return m.w.undoStep(ctx, "delete", "machine")
}

func (m fakeMachine) Exec(ctx context.Context, o smolvm.ExecOptions) (int, error) {
	m.w.record(o.Name, o.Workdir)
	m.w.record(o.Command...)
	words := strings.Join(o.Command, " ")
	switch {
	case strings.Contains(words, " winsize "):
		return 0, m.w.step(ctx, strings.Join(o.Command[3:], "x"))
	case strings.Contains(words, " provision "):
		return m.w.receive(ctx, o)
	default:
		return m.w.runAgent(ctx, o)
	}
}

// receive plays bottle-guest provision.
func (w *world) receive(ctx context.Context, o smolvm.ExecOptions) (int, error) {
	code, err := w.healthCheck(ctx)
	if code != 0 || err != nil {
		return code, err
	}
	stdin := bufio.NewReader(o.Stdin)
	if o.Command[0] == "/bin/sh" { // a program to run, of the size that is the first word of the script
		size, err := strconv.Atoi(o.Command[4])
		if err != nil {
			return -1, err
		}
		program := make([]byte, size)
		if _, err := io.ReadFull(stdin, program); err != nil {
			return -1, err
		}
		w.fresh = append(w.fresh, string(program))
	}
	proof, err := w.proof(stdin, nonceOf(o))
	if err != nil {
		return -1, err
	}
	if _, err := io.WriteString(o.Stdout, proof); err != nil {
		return -1, err
	}
	archive, err := io.ReadAll(stdin)
	if err != nil {
		return -1, err
	}
	w.mu.Lock()
	w.archives = append(w.archives, string(archive))
	w.mu.Unlock()
	if err := w.step(ctx, "files"); err != nil {
		return -1, err
	}
	_, err = io.WriteString(o.Stderr, frame(o, 0))
	return 0, err
}

// proof is what a guest without a way out says of its probes.
func (w *world) proof(stdin *bufio.Reader, nonce guestapi.Nonce) (string, error) {
	line, err := probe.ReadLine(stdin)
	if err != nil {
		return "", err
	}
	probes, err := probe.Parse[probe.Probe](line)
	if err != nil {
		return "", err
	}
	var said []probe.Observation
	for _, p := range probes {
		said = append(said, probe.Observation{Name: p.Name, Reached: p.Kind == probe.Health, Saw: "as it should be"})
	}
	if w.probed != nil {
		said = w.probed(probes, said)
	}
	out := bytes.NewBufferString(guestapi.Proved(nonce))
	err = probe.Write(out, said)
	return out.String(), err
}

// frame is what bottle-guest prints for its caller at the end.
func frame(o smolvm.ExecOptions, code int) string { return guestapi.Frame(nonceOf(o), code) }

func nonceOf(o smolvm.ExecOptions) guestapi.Nonce {
	return guestapi.Nonce(o.Command[slices.Index(o.Command, "--nonce")+1])
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

// fakeAudit keeps the records; what it is told to hide is hidden by the real one.
type fakeAudit struct{ w *world }

func (a fakeAudit) Append(_ context.Context, r audit.Record) error {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.w.records = append(a.w.records, r)
	a.w.audited = append(a.w.audited, fmt.Sprintf("%s %s", r.Source, r.Event))
	return nil
}

func (a fakeAudit) Hide(values ...secret.Value) {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	for _, value := range values {
		a.w.hidden = append(a.w.hidden, value.Reveal())
	}
}

func (a fakeAudit) Bundle() io.WriteCloser { return discard{} }
func (a fakeAudit) Done() <-chan struct{}  { return a.w.auditFails }
func (a fakeAudit) Err() error             { return audit.ErrFull }

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

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

func (s fakeSidecar) Reach(_ context.Context, targets ...string) []error {
	return make([]error, len(targets))
}

func (s fakeSidecar) Deliver(_ context.Context, daemon string, inputs control.Inputs) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.delivered = append(s.w.delivered, daemon)
	s.w.inputs[daemon] = inputs
	return nil
}

func (s fakeSidecar) Close(ctx context.Context) error {
	if len(s.w.plan.Ports) != len(s.w.sockets()) && !s.w.cut {
		s.w.t.Error("the sockets went before the bundle")
	}
	return s.w.undoStep(ctx, "close", "bundle")
}

// output collects what the agent's streams got.
type output struct{ stdout, stderr bytes.Buffer }

func (o *output) stdio() guestexec.Stdio {
	return guestexec.Stdio{Stdout: &o.stdout, Stderr: &o.stderr}
}
