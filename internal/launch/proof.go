package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"bottle.internal/internal/event"
	"bottle.internal/internal/guest"
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
type installer struct{ bottle *Bottle }

var _ provision.Guest = installer{}

// Install implements [provision.Guest]. Without a proof it is a [*BootError].
func (i installer) Install(ctx context.Context, archive []byte, stderr io.Writer) (int, error) {
	deadline := time.Now().Add(proofTimeout)
	last := errors.New("bottle-guest provision never ended")
	for {
		proved, code, err := i.attempt(ctx, deadline, newGate(archive, stderr))
		switch {
		case proved:
			i.bottle.say(ctx, event.Info, "proof", "the firewall answers from inside the guest")
			return code, err
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
	defer gate.close()
	filter := guest.NewFrameFilter(gate.stderr(), gate.nonce)
	code, err = i.bottle.deps.Machine.Exec(ctx, smolvm.ExecOptions{
		Name: i.bottle.plan.VM.Name, Command: guest.ProvisionArgs(gate.nonce, plan.PortFirewall),
		Stdin: gate, Stdout: gate.stdout(), Stderr: filter,
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

// gate holds an archive back until the guest has said the word of proof.
type gate struct {
	nonce   guest.Nonce
	archive io.Reader
	errors  io.Writer // gets what the guest says after the proof
	opened  func()

	proof, end chan struct{}
}

func newGate(archive []byte, stderr io.Writer) *gate {
	return &gate{
		nonce: guest.NewNonce(), archive: bytes.NewReader(archive), errors: stderr,
		proof: make(chan struct{}), end: make(chan struct{}),
	}
}

// Read gives the archive's bytes, once there is a proof.
func (g *gate) Read(p []byte) (int, error) {
	select {
	case <-g.proof:
		return g.archive.Read(p)
	case <-g.end:
		return 0, io.EOF
	}
}

// close ends a Read that still waits.
func (g *gate) close() { close(g.end) }

func (g *gate) isOpen() bool {
	select {
	case <-g.proof:
		return true
	default:
		return false
	}
}

// stdout looks for the word of proof at the very beginning of what is written.
func (g *gate) stdout() io.Writer {
	word, said := guest.Proved(g.nonce), []byte{}
	return writer(func(p []byte) {
		missing := len(word) - len(said)
		said = append(said, p[:min(len(p), missing)]...)
		if missing > 0 && string(said) == word {
			g.opened()
			close(g.proof)
		}
	})
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
