// Package pipelock runs the operator's own pipelock 2.3.0 as the firewall's engine, behind
// the builtin firewall as its gate.
//
// Invariants:
//   - pipelock sees only what the gate allows: a declared host and port, TLS that names
//     that host, a plain GET of an http route; each in a request that the gate wrote.
//   - The program that is started has the digest that was declared, an empty environment,
//     and a configuration that only this user can read.
//   - A routed host goes to egress or nowhere: where the hosts file does not lead it there,
//     the gate refuses it.
//   - Of what pipelock logs, only words that cannot be a secret are passed on.
//   - Its death is the end of this program; init starts both again.
package pipelock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"bottle.internal/internal/control"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/firewall/requestscan"
	"bottle.internal/internal/secret"
)

// EngineFile is the input that says which program to run. See [ParseEngine].
const EngineFile = "engine.json"

// The bundle's own places.
const (
	DefaultListen = "127.0.0.1:8889"
	DefaultDir    = "/run/firewall"
	DefaultHosts  = "/etc/hosts"
)

// readyLimit bounds the wait for pipelock's first answer; it takes 25 ms.
const readyLimit = 10 * time.Second

// Daemon is the program `bundle firewall` with pipelock as its engine. The zero Daemon is
// the bundle's own; tests set other places.
type Daemon struct {
	Gate   string // where the gate listens; default [firewall.DefaultListen]
	Listen string // where pipelock listens, a loopback address; default [DefaultListen]
	Dir    string // a private directory for its configuration; default [DefaultDir]
	Hosts  string // the hosts file that pipelock resolves with; default [DefaultHosts]
	Egress netip.Addr
	Limits firewall.Limits
	// Secrets is nil for a scanner of its own.
	Secrets *requestscan.Scanner
}

// Run is the engine as init starts it. See [Daemon.Run].
func Run(ctx context.Context, channel firewall.Channel, log io.Writer) error {
	return Daemon{}.Run(ctx, channel, log)
}

// Run serves until ctx ends and returns nil then. First inputs that are not understood, a
// program that is not the declared one, pipelock's death and the end of the channel are
// errors. Later inputs replace the policy; ones that are not understood leave the old one
// in force and are logged. Another engine needs a new start of the daemon.
func (d Daemon) Run(ctx context.Context, channel firewall.Channel, log io.Writer) error {
	d = d.withDefaults()
	gate, err := d.addresses()
	if err != nil {
		return err
	}
	inputs, err := channel.FirstInputs(ctx)
	if err != nil {
		return err
	}
	r := &running{daemon: d, restart: make(chan struct{}, 1)}
	policy, err := r.load(inputs)
	if err != nil {
		return err
	}
	r.server, err = firewall.NewServer(firewall.Config{
		Policy: policy, Log: log, Limits: d.Limits, Secrets: d.Secrets,
		Via: &firewall.Via{Name: "pipelock", Proxy: netip.MustParseAddrPort(d.Listen), Admit: d.admit},
	})
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", gate)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", gate, err)
	}
	return r.serve(ctx, listener, channel.Inputs())
}

func (d Daemon) withDefaults() Daemon {
	d.Gate = cmp.Or(d.Gate, firewall.DefaultListen)
	d.Listen = cmp.Or(d.Listen, DefaultListen)
	d.Dir = cmp.Or(d.Dir, DefaultDir)
	d.Hosts = cmp.Or(d.Hosts, DefaultHosts)
	if !d.Egress.IsValid() {
		d.Egress = firewall.DefaultEgress()
	}
	if d.Secrets == nil {
		d.Secrets = &requestscan.Scanner{}
	}
	return d
}

func (d Daemon) addresses() (gate string, err error) {
	return d.Gate, errors.Join(firewall.CheckListen(d.Gate), firewall.CheckListen(d.Listen))
}

// running is one run of the daemon.
type running struct {
	daemon  Daemon
	server  *firewall.Server
	engine  Engine
	opened  string // what the present configuration opens of private addresses
	restart chan struct{}
}

// serve runs pipelock, the gate and the reloads, and waits for all of them.
func (r *running) serve(ctx context.Context, listener net.Listener, inputs <-chan control.Inputs) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var child sync.WaitGroup
	died := make(chan struct{})
	child.Go(func() {
		defer close(died)
		if err := r.supervise(ctx); err != nil {
			cancel(err)
		}
	})
	defer child.Wait()
	defer cancel(nil) // before the wait
	err := r.awaitHealth(ctx)
	if err == nil {
		err = r.server.ServeAndFollow(ctx, listener, func(ctx context.Context) error {
			return r.server.Follow(ctx, inputs, r.load)
		})
	} else {
		_ = listener.Close()
	}
	select {
	case <-died: // its own words are better than what followed
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			return cause
		}
	default:
	}
	return err
}

// load reads all inputs and hands pipelock its configuration. A change of the engine is
// refused; one of the opened addresses, which pipelock does not take while it runs, starts
// it again.
func (r *running) load(inputs control.Inputs) (firewall.Policy, error) {
	engine, err := ParseEngine([]byte(inputs[EngineFile].Reveal()))
	if err != nil {
		return firewall.Policy{}, err
	}
	first := r.engine == Engine{}
	if !first && engine != r.engine {
		return firewall.Policy{}, fmt.Errorf("reading %s: another engine needs a new start", EngineFile)
	}
	rest := maps.Clone(inputs)
	delete(rest, EngineFile)
	policy, err := firewall.Load(rest)
	if err != nil {
		return firewall.Policy{}, err
	}
	if first {
		if err := engine.verify(); err != nil {
			return firewall.Policy{}, err
		}
	}
	if err := writeConfig(r.daemon.Dir, rest[firewall.PipelockFile]); err != nil {
		return firewall.Policy{}, err
	}
	opened := fmt.Sprint(policy.Opened())
	if !first && opened != r.opened {
		select {
		case r.restart <- struct{}{}:
		default: // one is due already, and reads the newest file
		}
	}
	if first {
		r.engine = engine
	}
	r.opened = opened
	return policy, nil
}

func (r *running) awaitHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyLimit, fmt.Errorf("pipelock did not answer within %v", readyLimit))
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		if firewall.CheckHealth(ctx, netip.MustParseAddrPort(r.daemon.Listen)) == nil {
			return nil
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// configText is the one place where the configuration is taken out of its input.
func configText(value secret.Value) []byte { return []byte(value.Reveal()) }
