// Package sidecar keeps the bundle of one bottle running: it starts the container, hands
// the daemons their inputs over the control channel, waits until every daemon answers,
// answers what the daemons ask, and does all but the first again when the container ends
// while it is wanted.
//
// Invariants: keys, tokens and configuration travel over the attached stdin only; while the bundle is
// down Gate is empty, so nothing leaves the guest; Close ends the watch before it
// removes the container, so nothing is brought back that was taken down.
package sidecar

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/event"
	"bottle.internal/internal/gate"
	"bottle.internal/internal/launch"
	"bottle.internal/pkg/bundle"
)

const (
	readyTimeout = 30 * time.Second
	// gitMemoryMiB is for git's own processes, which unpack and serve repositories.
	gitMemoryMiB = 1024
	retryMin     = 200 * time.Millisecond
	retryMax     = 5 * time.Second
)

// Starter starts bundles on one engine.
type Starter struct {
	Engine bundle.Engine
	Image  func(context.Context) (ref string, err error) // loads the bundle's image if needed
	Owner  string                                        // whose bottles these are, for cleanup
	Events event.Sink
}

var _ launch.Sidecars = Starter{}

// Start implements [launch.Sidecars]. A Start that fails leaves nothing behind.
func (s Starter) Start(ctx context.Context, spec launch.SidecarSpec) (launch.Sidecar, error) {
	image, err := s.Image(ctx)
	if err != nil {
		return nil, err
	}
	want := bundle.Spec{
		Identity: spec.Identity, Owner: s.Owner, Image: image,
		Hosts: spec.Hosts, Labels: spec.Labels, Logs: spec.Log,
	}
	if slices.Contains(spec.Daemons, daemons.GitGate) {
		want.MemoryMiB = gitMemoryMiB
	}
	boot, err := bootstrap(spec)
	if err != nil {
		return nil, err
	}
	if want.Users, err = users(boot.Daemons); err != nil {
		return nil, err
	}
	if len(spec.Echo) > 0 {
		want.Echo = &bundle.Echo{Image: image, Aliases: spec.Echo, Stdin: spec.EchoStdin, Logs: spec.EchoLog}
	}
	container, err := bundle.Start(ctx, s.Engine, want)
	if err != nil {
		return nil, err
	}
	r := &running{
		container: container, events: s.Events, boot: boot, answer: spec.Answer,
	}
	if err := r.open(ctx); err != nil {
		_ = r.closeHost() // the same as in Close
		r.answers.Wait()
		return nil, errors.Join(err, container.Close(context.WithoutCancel(ctx)))
	}
	watched, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	r.watch.Go(func() { r.keep(watched) })
	return r, nil
}

// bootstrap is what the bundle is told at every start: the gate comes before all others.
func bootstrap(spec launch.SidecarSpec) (control.Bootstrap, error) {
	inputs := maps.Clone(spec.Inputs)
	if inputs == nil {
		inputs = map[string]control.Inputs{}
	}
	opened, err := gate.Inputs(spec.Key, spec.Ports)
	if err != nil {
		return control.Bootstrap{}, err
	}
	inputs[daemons.Gate] = opened
	return control.Bootstrap{Daemons: append([]string{daemons.Gate}, spec.Daemons...), Inputs: inputs}, nil
}

func users(names []string) ([]bundle.User, error) {
	var list []bundle.User
	for _, name := range names {
		d, ok := daemons.ByName(name)
		if !ok {
			return nil, fmt.Errorf("the bundle has no daemon %q", name)
		}
		list = append(list, bundle.User{UID: d.UID, RunDir: d.RunDir(), Volume: d.Volume})
	}
	return list, nil
}

// running is a bundle with its control channel.
type running struct {
	container *bundle.Bundle
	events    event.Sink
	answer    func(context.Context, control.Question) (any, error)
	cancel    context.CancelFunc
	watch     sync.WaitGroup
	answers   sync.WaitGroup // one for each attachment that daemons ask over

	sending sync.Mutex // one of Bootstrap and Deliver at a time; taken before mu

	mu    sync.Mutex // never held while something is sent: an init that hangs must not hold up Gate and Close
	boot  control.Bootstrap
	host  *control.Host
	told  bool // host has had its bootstrap
	ready bool
}

// open speaks to init over the streams of the moment until it is ready.
func (r *running) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	host := control.NewHost(r.container.Stdio())
	r.answers.Go(func() { r.answerAll(context.WithoutCancel(ctx), host) })
	if err := r.tell(ctx, host); err != nil {
		return fmt.Errorf("handing the bundle its inputs: %w", err)
	}
	if err := host.WaitReady(ctx); err != nil {
		return fmt.Errorf("waiting for the bundle's daemons: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = true
	return nil
}

// keep reports what happens to the daemons, and brings the container back.
func (r *running) keep(ctx context.Context) {
	for ctx.Err() == nil {
		r.relate(ctx)
		r.down()
		if ctx.Err() != nil {
			return
		}
		r.say(ctx, event.Warn, "the bundle stopped; nothing leaves the guest until it is back")
		if !r.revive(ctx) {
			return
		}
		r.say(ctx, event.Info, "the bundle is back")
	}
}

// relate passes events on until init is gone or ctx ends.
func (r *running) relate(ctx context.Context) {
	r.mu.Lock()
	events := r.host.Events()
	r.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				return
			}
			if e.What == control.Died || e.What == control.GaveUp {
				r.say(ctx, event.Warn, fmt.Sprintf("%s: %s %s", e.Daemon, e.What, e.Detail))
			}
		}
	}
}

// revive restarts the container with growing pauses until it is ready or ctx ends.
func (r *running) revive(ctx context.Context) bool {
	said := ""
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		r.down() // also after an attempt that got as far as its bootstrap
		_ = r.closeHost()
		err := r.container.Restart(ctx)
		if err == nil {
			err = r.open(ctx)
		}
		if err == nil {
			return true
		}
		if text := err.Error(); text != said && ctx.Err() == nil {
			r.say(ctx, event.Warn, "it does not come back: "+text)
			said = text
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

func (r *running) say(ctx context.Context, kind event.Kind, text string) {
	r.events.Send(ctx, event.Event{Kind: kind, Step: "bundle", Text: text})
}

// down leaves the guest without a way out, and later inputs to the next bundle.
func (r *running) down() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready, r.told = false, false
}

func (r *running) closeHost() error {
	r.mu.Lock()
	host := r.host
	r.mu.Unlock()
	if host == nil {
		return nil
	}
	return host.Close()
}

// Gate implements [launch.Sidecar].
func (r *running) Gate() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ready {
		return ""
	}
	return r.container.GateAddr()
}

// Reach implements [launch.Sidecar].
func (r *running) Reach(ctx context.Context, targets ...string) []error {
	return r.container.Dial(ctx, targets...)
}

// Close implements [launch.Sidecar].
func (r *running) Close(ctx context.Context) error {
	r.cancel()
	r.watch.Wait()
	r.down()
	_ = r.closeHost() // the streams may have ended before; what counts is the container
	r.answers.Wait()
	return r.container.Close(ctx)
}
