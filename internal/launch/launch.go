// Package launch turns a plan into a running bottle and back.
//
// Invariants: it reads the plan and never a manifest; every effect pushes its undo
// before the next begins, so failure, interruption and the ordinary end all unwind the
// same stack, last first; the instance directory is made first and removed last, and
// only if everything else is gone, so `bottle list` never forgets a leftover; the agent
// gets the machine after the firewall has answered from inside it.
package launch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/boundary"
	"bottle.internal/internal/digest"
	"bottle.internal/internal/event"
	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/launch/tally"
	"bottle.internal/internal/launch/undo"
	"bottle.internal/internal/link"
	"bottle.internal/internal/names"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

// TeardownTimeout bounds Close: mage kills its targets 5 s after an interrupt.
const TeardownTimeout = 3500 * time.Millisecond

// Machine is what a launch needs of the VM tool; *smolvm.Client is one.
type Machine interface {
	guestexec.Machine
	Create(ctx context.Context, o smolvm.CreateOptions) error
	Start(ctx context.Context, name string) error
	Stop(ctx context.Context, name string) error
	Delete(ctx context.Context, name string) error
}

// Artifact is what a machine is created from.
type Artifact struct {
	Path    string
	Archive bool   // an image archive instead of a pack
	Image   string // digest of the image
	SHA256  string // of the file, hex
}

// Deps are the parts that a launch puts together.
type Deps struct {
	Machine  Machine
	Shares   []string // directories of this host that the guest may see: TAG=ro, TAG=rw
	Tool     smolvm.Tool
	Sidecars Sidecars
	Artifact func(context.Context) (Artifact, error)       // packs the image if needed
	Values   map[string]secret.Value                       // of the plan's variables that come from the host or a question
	Skills   map[string]fs.FS                              // the directories of the plan's skills
	Prompt   []byte                                        // the prompt's text, wherever it came from
	Program  func(context.Context) ([]byte, error)         // bottle-guest, for a guest that is resumed
	Fill     func(context.Context, guestexec.Runner) error // copies the plan's workspace in
	Secrets  Secrets
	Audit    Audit
	// Tools names what a machine that runs was started from by its digests; nil: nobody does.
	Tools func(ctx context.Context, machine string) []digest.Sum
	// Targets opens what no guest may reach; the launch closes it.
	Targets  func(context.Context) (*boundary.Targets, error)
	State    *state.Root
	Owner    string       // marks the machine as ours, see [state.Root.Owner]
	Release  func() error // called last: gives back what the caller opened for the launch
	Events   event.Sink
	PID      int
	PIDStart string
	Now      func() time.Time
	// Observe is told of every effect and every undoing, after it. Nil but in tests, which
	// end the process there.
	Observe func(effect string)
}

// Bottle is a running bottle. Its owner calls Close, whatever else happens.
type Bottle struct {
	plan     plan.Plan
	deps     Deps
	instance *state.Instance
	status   state.Status
	undo     undo.Stack
	key      link.Key
	sockets  string            // directory of the relays' sockets
	targets  *boundary.Targets // that no guest may reach; nil until the bundle is there
	checks   []boundary.Check
	results  []boundary.Result // of the probes
	tally    *tally.Tally
	trust    trust
	overseer *overseer.Overseer
	search   *search // of the guest for credentials; nil without one
	kept     *Kept   // what is resumed; nil at a first launch
	keep     bool    // the machine and the instance outlive the teardown
	alarm    alarm
	tools    *tools

	mu      sync.Mutex
	sidecar Sidecar // nil until it is ready
}

// Start launches p. If anything fails, or ctx ends, whatever was done is undone, and
// deps.Release was called. What could not be undone is a [*LeftoverError] beside the reason.
func Start(ctx context.Context, p plan.Plan, deps Deps) (*Bottle, error) {
	id, err := names.ParseIdentity(p.Identity)
	if err != nil {
		return nil, errors.Join(err, deps.Release())
	}
	b := newBottle(p, deps)
	if b.instance, err = deps.State.Create(id); err != nil {
		return nil, errors.Join(err, deps.Release())
	}
	b.did("the instance")
	if err := b.launch(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, errors.Join(err, b.Close(context.WithoutCancel(ctx)))
	}
	return b, nil
}

func newBottle(p plan.Plan, deps Deps) *Bottle {
	b := &Bottle{plan: p, deps: deps}
	b.undo.Observe, b.tally = b.did, tally.New(b.alarmed)
	return b
}

func (b *Bottle) did(effect string) {
	if b.deps.Observe != nil {
		b.deps.Observe(effect)
	}
}

// MachineName is the name of a bottle's VM, for those who have no plan.
func MachineName(id names.Identity) string { return "bottle-" + string(id) }

// Identity is the bottle's name.
func (b *Bottle) Identity() string { return b.plan.Identity }

func (b *Bottle) launch(ctx context.Context) error {
	if err := b.record(state.Starting); err != nil {
		return err
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	stacks := b.undo.Branches("the machine and the bundle", 2)
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return b.startMachine(both, stacks[0]) })
	group.Go(func() error { return b.startSidecar(both, stacks[1]) })
	if err := group.Wait(); err != nil {
		return err
	}
	b.lookAtTools(ctx)
	if err := b.provision(ctx); err != nil {
		return err
	}
	b.sayTools(ctx)
	b.status.Tools = digest.Map(b.tools.get())
	b.did("the files in the guest")
	if err := b.fill(ctx); err != nil {
		return err
	}
	if err := b.begun(ctx); err != nil {
		return err
	}
	return b.record(state.Running)
}

// prepare makes what lives on the host: configuration, key, sockets.
func (b *Bottle) prepare(ctx context.Context) error {
	var err error
	if b.kept == nil { // else the old one counts until the machine runs by the new
		err = b.writePlan()
	}
	if err != nil {
		return err
	}
	if b.key, err = link.NewKey(rand.Reader); err != nil {
		return fmt.Errorf("making the link key: %w", err)
	}
	if b.trust, err = newTrust(b.plan, b.deps.Now()); err != nil {
		return err
	}
	if err := b.plant(); err != nil {
		return err
	}
	if err := b.oversee(ctx); err != nil {
		return err
	}
	return b.startRelays(ctx)
}

func (b *Bottle) writePlan() error {
	text, err := b.plan.JSON()
	if err != nil {
		return err
	}
	defer b.did("the plan")
	return b.instance.WriteFile(state.PlanFile, text)
}

// record writes what other processes may know.
func (b *Bottle) record(phase state.Phase) error {
	if b.status.Identity == "" {
		b.status = state.Status{Identity: names.Identity(b.plan.Identity), Created: b.deps.Now().UTC()}
	}
	b.status.Agent, b.status.Bottle, b.status.Firewall = b.plan.Agent, b.plan.Bottle, b.plan.Firewall.Engine
	b.status.PID, b.status.PIDStart, b.status.Machine = b.deps.PID, b.deps.PIDStart, b.plan.VM.Name
	b.status.VMTool, b.status.VMPath = b.deps.Tool.Name+" "+b.deps.Tool.Version.String(), b.deps.Tool.Path
	return b.write(phase)
}

func (b *Bottle) write(phase state.Phase) error {
	b.status.Phase = phase
	defer b.did("the phase " + string(phase))
	return b.instance.WriteStatus(b.status)
}

// Close undoes the launch, within TeardownTimeout. What cannot be undone stays listed.
func (b *Bottle) Close(ctx context.Context) error {
	if err := b.takeDown(ctx); err != nil {
		return err
	}
	defer b.did("removing the instance")
	return b.instance.Remove()
}

// takeDown undoes everything but the instance.
func (b *Bottle) takeDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, TeardownTimeout)
	defer cancel()
	b.tools.end()
	_ = b.record(state.Stopping) // for people who look meanwhile; its failure changes nothing
	err := b.undo.Unwind(ctx)
	if b.overseer != nil {
		b.audit(ctx, audit.Host, eventStopped, map[string]any{"kept": b.keep})
	}
	if releaseErr := b.deps.Release(); releaseErr != nil && err == nil {
		err = releaseErr
	}
	b.did("releasing what the launch held")
	if err != nil {
		b.instance.Unlock()
		return &LeftoverError{Identity: b.plan.Identity, Err: err, Kept: b.keep}
	}
	return nil
}

// LeftoverError says that a teardown was not complete.
type LeftoverError struct {
	Identity string
	Err      error
	Kept     bool // the machine was to be stopped only: it can be resumed
}

func (e *LeftoverError) Error() string {
	if e.Kept {
		return fmt.Sprintf("%s was not stopped completely: %v", e.Identity, e.Err)
	}
	return fmt.Sprintf("%s was not removed completely: %v", e.Identity, e.Err)
}

// Unwrap returns the reason.
func (e *LeftoverError) Unwrap() error { return e.Err }

// HintLines says how to try again.
func (e *LeftoverError) HintLines() []string {
	if e.Kept {
		return []string{"bottle resume " + e.Identity}
	}
	return []string{"bottle stop " + e.Identity}
}
