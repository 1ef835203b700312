// Package overseer holds a bottle's rules while it runs: it makes what the daemons of the
// bundle are told, answers what they ask of the host, and puts the operator's decisions
// into force.
//
// Invariants: a daemon is told its own part and nothing of another's; a question is
// answered for the daemon that may ask it and refused for every other; a token, a
// signature or an approval never comes from the container; what is in force is one plan,
// replaced as a whole.
package overseer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/canary"
	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/proposal"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/sshagent"
)

// Tokens finds the credentials of the plan's routes, by the route's index in the plan
// that the bottle was launched with.
type Tokens interface {
	// First returns what there is, and why the rest is not.
	First(ctx context.Context) (map[int]secret.Value, map[int]error)
	Refresh(ctx context.Context, route int) (secret.Value, error)
}

// Config is what an Overseer needs.
type Config struct {
	Plan     plan.Plan // as it was resolved, without approvals
	Instance string    // directory of the bottle's state
	// Authority signs what egress shows to the guest; nil without egress.
	Authority *ca.Authority
	// EchoCA is the certificate authority of the echo upstream, PEM; empty without one.
	EchoCA []byte
	Tokens Tokens
	// UpstreamCAs are the PEM files that routes name, by their path.
	UpstreamCAs map[string][]byte
	// UpstreamProxy is the corporate proxy that egress goes through, or "".
	UpstreamProxy     string
	UpstreamProxyAuth secret.Value // user:password, or empty
	// PipelockSHA256 is the digest of the operator's engine, hex; "" without one.
	PipelockSHA256 string
	// Remotes are the ssh identities by the remote's name.
	Remotes map[string]Identity
	// Say tells the operator something in one line.
	Say func(text string)
	// Hide keeps values out of what is written down.
	Hide func(values ...secret.Value)
	// Canaries are the fake credentials that this launch plants in the guest.
	Canaries []secret.Value
	// Alarm is told of a canary that the host itself sees; nil: nobody is.
	Alarm func(seen canary.Sighting)
	// Audit records an event of the host.
	Audit func(event string, fields map[string]any)
	Now   func() time.Time
}

// Identity is how the host proves itself to a git server, and the server to it.
type Identity struct {
	Key          secret.Value // private key, in a form of OpenSSH's
	KnownHostKey string       // HOST TYPE KEY
}

// Deliver hands a daemon new inputs.
type Deliver func(ctx context.Context, daemon string, inputs control.Inputs) error

// Overseer is one bottle's. Its owner calls Close.
type Overseer struct {
	config Config
	agent  *sshagent.Agent
	queue  *proposal.Queue // nil without supervise and approvals

	canaries *canary.Finder
	cut      atomic.Bool

	mu      sync.Mutex
	deliver Deliver // nil until the bundle is up
	tokens  map[int]secret.Value
	told    map[string]bool // the pushes that the operator heard of

	cancel  context.CancelFunc
	running sync.WaitGroup
}

// New opens the queue and fetches the tokens that there are. A route without its token is
// told to the operator, not an error: egress answers 502 for it.
func New(ctx context.Context, config Config) (*Overseer, error) {
	o := &Overseer{config: config, told: map[string]bool{}, canaries: canary.NewFinder(reveal(config.Canaries))}
	var err error
	if o.agent, err = newAgent(config); err != nil {
		return nil, err
	}
	kept, err := proposal.ReadKept(config.Instance)
	if err != nil {
		return nil, fmt.Errorf("reading earlier approvals: %w", err)
	}
	current, problems := proposal.ApplyKept(config.Plan, kept)
	for _, problem := range problems {
		config.Say(fmt.Sprintf("an earlier approval is left out: %v", problem))
	}
	o.tokens, err = o.firstTokens(ctx)
	if err != nil {
		return nil, err
	}
	o.queue, err = proposal.Open(proposal.Config{
		Instance: config.Instance, Plan: current, OnChange: o.change, Audit: config.Audit, Now: config.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the queue of proposals: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o.cancel = cancel
	o.running.Go(func() { o.queue.Run(running) })
	if len(config.Plan.DemoApproves) > 0 {
		o.running.Go(func() { o.approveForTheDemo(running) })
	}
	return o, nil
}

// Close ends the work on decisions.
func (o *Overseer) Close() error {
	o.cancel()
	o.running.Wait()
	o.queue.Close()
	return nil
}

// Follow says how new inputs reach the bundle, which is up now.
func (o *Overseer) Follow(deliver Deliver) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.deliver = deliver
}

// change puts an approved route into force: egress first, so that the firewall never
// leads to an egress that does not know the route, and then what the agent is told.
func (o *Overseer) change(ctx context.Context, change proposal.Change) error {
	o.mu.Lock()
	deliver := o.deliver
	o.mu.Unlock()
	if deliver == nil {
		return errors.New("the bundle is not up")
	}
	if o.config.Plan.Firewall.Engine == enginePipelock && change.Effect.Before == nil {
		return errors.New("pipelock takes up new hosts at the next start only")
	}
	all, err := o.inputs(change.Plan)
	if err != nil {
		return err
	}
	// A bundle that hangs must not hold up every later decision.
	ctx, cancel := context.WithTimeoutCause(ctx, deliverTime, fmt.Errorf("the bundle did not take it within %s", deliverTime))
	defer cancel()
	var told []string
	for _, name := range []string{daemons.Egress, daemons.Firewall, daemons.Supervise} {
		if !slices.Contains(o.config.Plan.Daemons, name) {
			continue
		}
		if err := deliver(ctx, name, all[name]); err != nil {
			return errors.Join(err, o.takeBack(context.WithoutCancel(ctx), deliver, told))
		}
		told = append(told, name)
	}
	return nil
}

const (
	deliverTime   = 10 * time.Second
	takeBackTime  = 5 * time.Second
	takeBackPause = 20 * time.Millisecond
)

// takeBack tells daemons again what was in force before a change that failed half way: what
// the operator is told did not come into force must not be, now or after a restart. It tries
// until the bundle takes it, or is known to be down and takes it at its next start.
func (o *Overseer) takeBack(ctx context.Context, deliver Deliver, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, takeBackTime)
	defer cancel()
	all, err := o.inputs(o.queue.Plan())
	if err != nil {
		return fmt.Errorf("taking the change back: %w", err)
	}
	for _, name := range names {
		for err := deliver(ctx, name, all[name]); err != nil; err = deliver(ctx, name, all[name]) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("taking the change back from the %s: %w", name, err)
			case <-time.After(takeBackPause):
			}
		}
	}
	return nil
}
