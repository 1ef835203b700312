// Package proof has a guest try every way out, and gives it what the host has for it only if
// the boundary holds.
//
// Invariants: no byte of the archive leaves the host before the guest has said the word of
// proof with this call's nonce, at the very beginning, and before the host likes what came to
// its own targets; a way out that was found ends it, and what does not answer is asked again,
// for a bounded time; every outcome is recorded before anything follows from it; a guest that
// an earlier run could have changed runs a program that it is sent.
package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"bottle.internal/internal/boundary"
	"bottle.internal/internal/guest/probe"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/guestexec"
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

// Installer is the guest as provisioning sees it. The guest asks the firewall for its
// health over the agent's own road: no byte of the archive leaves the host before the
// one way out is known to work.
type Installer struct {
	Guest  guestexec.Guest
	Checks []boundary.Check
	// Record is told what the probes found, whatever it is. If it fails, the guest is asked again.
	Record func(context.Context, []boundary.Result) error
	// Program is run in place of the guest's own bottle-guest, which an earlier run could
	// have changed; empty: the guest is new.
	Program []byte
}

var _ provision.Guest = Installer{}

// Install implements [provision.Guest]. Without a proof it is a [*NoProofError].
func (i Installer) Install(ctx context.Context, archive []byte, stderr io.Writer) (int, error) {
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
			return -1, &NoProofError{Err: fmt.Errorf("asking for the firewall inside the guest: %w", err)}
		case errors.Is(err, errUnproved): // our own end of patience is no news
		case err == nil:
			last = fmt.Errorf("bottle-guest provision ended with status %d", code)
		default:
			last = err
		}
		if !pause(ctx, deadline, proofPause) {
			return -1, &NoProofError{Err: fmt.Errorf("the firewall did not answer inside the guest within %s (%w)", proofTimeout, last)}
		}
	}
}

// attempt is one call of bottle-guest provision, which must prove the firewall before
// the deadline; after that it gets more time.
func (i Installer) attempt(ctx context.Context, deadline time.Time, gate *gate) (proved bool, code int, err error) {
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
	if program := i.Program; len(program) > 0 {
		command, stdin = guestapi.FreshArgs(len(program), command), io.MultiReader(bytes.NewReader(program), gate)
	}
	code, err = i.Guest.Machine.Exec(ctx, smolvm.ExecOptions{
		Name: i.Guest.Name, Command: command, Stdin: stdin, Stdout: gate.stdout(), Stderr: filter,
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

func (i Installer) newGate(ctx context.Context, archive []byte, stderr io.Writer) (*gate, error) {
	var probes bytes.Buffer
	if err := probe.Write(&probes, boundary.Probes(i.Checks)); err != nil {
		return nil, err
	}
	return &gate{
		nonce: guestapi.NewNonce(), probes: &probes, archive: bytes.NewReader(archive), errors: stderr,
		judge: func(said []probe.Observation) error { return i.judge(ctx, said) },
		proof: make(chan struct{}), end: make(chan struct{}),
	}, nil
}

// errNoAnswer is no breach: what must answer did not, yet.
var errNoAnswer = errors.New("the firewall did not answer the guest's probe")

// judge decides whether the guest may have what the host has for it.
func (i Installer) judge(ctx context.Context, said []probe.Observation) error {
	results := boundary.Judge(i.Checks, said)
	if err := i.Record(ctx, results); err != nil {
		return err
	}
	surprise := boundary.Surprise(results)
	switch {
	case surprise == nil:
		return nil
	case surprise.Expected == boundary.Blocked:
		return &BoundaryError{Result: *surprise}
	}
	return errNoAnswer // it may come: the guest is asked again
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
