package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/plan"
	"bottle.internal/pkg/provision"
	"bottle.internal/pkg/smolvm"
)

const (
	// proofTimeout bounds the wait for the firewall to answer inside the guest, and for
	// the guest to run programs at all.
	proofTimeout = 30 * time.Second
	proofPause   = 100 * time.Millisecond
	// installTimeout bounds what comes after the proof: 64 MiB into an emulated guest.
	installTimeout = 3 * time.Minute
)

// errUnproved ends an attempt that took all the time there was.
var errUnproved = errors.New("no proof in time")

// installer is the guest as provisioning sees it. The guest asks the firewall for its
// health over the agent's own road: no byte of the archive leaves the host before the
// one way out is known to work.
type installer struct {
	bottle *Bottle
	// program is run in place of the guest's own bottle-guest, which an earlier run could
	// have changed; empty: the guest is new.
	program []byte
}

var _ provision.Guest = installer{}

// Install implements [provision.Guest]. Without a proof it is a [*BootError].
func (i installer) Install(ctx context.Context, archive []byte, stderr io.Writer) (int, error) {
	deadline := time.Now().Add(proofTimeout)
	last := errors.New("bottle-guest provision never ended")
	for {
		gate, err := i.newGate(ctx, archive, stderr)
		if err != nil {
			return -1, err
		}
		proved, code, err := i.attempt(ctx, deadline, gate)
		surprise := (*BoundaryError)(nil)
		switch {
		case proved:
			return code, err
		case errors.As(err, &surprise):
			return -1, surprise
		case errors.Is(err, smolvm.ErrNotRunning), errors.Is(err, smolvm.ErrNotFound):
			return -1, &BootError{Err: fmt.Errorf("asking for the firewall inside the guest: %w", err)}
		case errors.Is(err, errUnproved): // our own end of patience is no news
		case err == nil:
			last = fmt.Errorf("bottle-guest provision ended with status %d", code)
		default:
			last = err
		}
		if !pause(ctx, deadline, proofPause) {
			return -1, &BootError{Err: fmt.Errorf("the firewall did not answer inside the guest within %s (%w)", proofTimeout, last)}
		}
	}
}

// attempt is one call of bottle-guest provision, which must prove the firewall before
// the deadline; after that it gets more time.
func (i installer) attempt(ctx context.Context, deadline time.Time, gate *gate) (proved bool, code int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(time.Until(deadline), func() {
		if gate.isOpen() {
			cancel(fmt.Errorf("the guest did not take everything within %s", installTimeout))
		}
		cancel(errUnproved) // the first cause counts
	})
	defer patience.Stop()
	gate.opened = func() { patience.Reset(installTimeout) }
	gate.refused = func() { cancel(errUnproved) }
	defer gate.close()
	filter := guestapi.NewFrameFilter(gate.stderr(), gate.nonce)
	command, stdin := guestapi.ProvisionArgs(gate.nonce, plan.PortFirewall), io.Reader(gate)
	if program := i.program; len(program) > 0 {
		command, stdin = guestapi.FreshArgs(len(program), command), io.MultiReader(bytes.NewReader(program), gate)
	}
	code, err = i.bottle.deps.Machine.Exec(ctx, smolvm.ExecOptions{
		Name: i.bottle.plan.VM.Name, Command: command, Stdin: stdin, Stdout: gate.stdout(), Stderr: filter,
	})
	if closeErr := filter.Close(); err == nil {
		err = closeErr
	}
	proved = gate.isOpen()
	if proved { // without a proof there is no frame to expect
		code, err = filter.Result(code, err)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if gate.refusal != nil {
		err = gate.refusal
	}
	return proved, code, err
}

// pause waits for a moment; it is false when ctx or the time is over.
func pause(ctx context.Context, deadline time.Time, moment time.Duration) bool {
	if time.Until(deadline) < moment {
		moment = time.Until(deadline)
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(moment):
		return time.Now().Before(deadline)
	}
}

// gate asks the guest for its probes, and holds an archive back until the guest has said
// the word of proof and the host likes what the probes found.
type gate struct {
	nonce   guestapi.Nonce
	probes  io.Reader
	archive io.Reader
	errors  io.Writer // gets what the guest says after the proof
	judge   func([]probe.Observation) error
	opened  func()
	refused func()

	said    []byte // of the word of proof
	line    probe.Line
	refusal error // the guest did not pass

	proof, end chan struct{}
	once       sync.Once
}

func (i installer) newGate(ctx context.Context, archive []byte, stderr io.Writer) (*gate, error) {
	var probes bytes.Buffer
	if err := probe.Write(&probes, boundary.Probes(i.bottle.checks)); err != nil {
		return nil, err
	}
	return &gate{
		nonce: guestapi.NewNonce(), probes: &probes, archive: bytes.NewReader(archive), errors: stderr,
		judge: func(said []probe.Observation) error { return i.bottle.judge(ctx, said) },
		proof: make(chan struct{}), end: make(chan struct{}),
	}, nil
}

// Read gives the probes, and the archive's bytes once there is a proof.
func (g *gate) Read(p []byte) (int, error) {
	if n, err := g.probes.Read(p); err == nil {
		return n, nil
	}
	select {
	case <-g.proof:
		return g.archive.Read(p)
	case <-g.end:
		return 0, io.EOF
	}
}

// close ends a Read that still waits.
func (g *gate) close() { g.once.Do(func() { close(g.end) }) }

func (g *gate) isOpen() bool {
	select {
	case <-g.proof:
		return true
	default:
		return false
	}
}

// stdout looks for the word of proof at the very beginning of what is written, and for the
// line of observations after it. Whatever else comes opens nothing.
func (g *gate) stdout() io.Writer {
	word := guestapi.Proved(g.nonce)
	return writer(func(p []byte) {
		missing := min(len(p), len(word)-len(g.said))
		g.said = append(g.said, p[:missing]...)
		if string(g.said) != word || g.refusal != nil || g.isOpen() {
			return
		}
		whole, err := g.line.Add(p[missing:])
		if whole && err == nil {
			err = g.read()
		}
		switch {
		case err != nil:
			g.refusal = err
			g.close()
			g.refused()
		case whole:
			g.opened()
			close(g.proof)
		}
	})
}

func (g *gate) read() error {
	said, err := probe.Parse[probe.Observation](g.line.Bytes())
	if err != nil {
		return err
	}
	return g.judge(said)
}

// stderr drops the reasons of an attempt without a proof: there will be another one.
func (g *gate) stderr() io.Writer {
	return writer(func(p []byte) {
		if g.isOpen() {
			_, _ = g.errors.Write(p)
		}
	})
}

// writer is a Write that never fails.
type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}
