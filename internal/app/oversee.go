package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/ca"
	"bottle.internal/internal/canary"
	"bottle.internal/internal/cluster"
	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/event"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/gate"
	"bottle.internal/internal/link"
	"bottle.internal/internal/names"
	"bottle.internal/internal/overseer"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/secret"
	"bottle.internal/internal/state"
)

// Places are where an overseer in a Pod finds what a start on one machine makes by itself.
type Places struct {
	Plan, Control, LinkKey, CACert, CAKey string
	// user maps a daemon's user, where tests have one for all; nil: as it is.
	user func(uid int) int
}

// ClusterPlaces are those of the manifests.
func ClusterPlaces() Places {
	return Places{
		Plan: cluster.PlanFile, Control: cluster.ControlDir,
		LinkKey: cluster.LinkKeyFile, CACert: cluster.CACertFile, CAKey: cluster.CAKeyFile,
	}
}

// Oversee is the host's side of a bundle whose daemons run in containers of their own, until
// ctx ends. There is no machine here: the cluster runs it.
func (a *App) Oversee(ctx context.Context, places Places) (err error) {
	p, err := readPlan(places.Plan)
	if err != nil {
		return err
	}
	instance, err := a.clusterInstance(p)
	if err != nil {
		return err
	}
	defer instance.Unlock()
	log, err := a.openAudit(names.Identity(p.Identity))
	if err != nil {
		return fmt.Errorf("opening the audit log: %w", err)
	}
	defer func() { err = errors.Join(err, a.closeAudit(ctx, p.Identity, log)) }()
	asked := ctx // by a signal: that is how an overseer ends well
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	config, err := a.overseerConfig(p, instance, places)
	if err != nil {
		return err
	}
	// What is not written down must not happen.
	write := func(name string, fields map[string]any) {
		if err := log.Append(context.WithoutCancel(ctx), audit.Record{Source: audit.Host, Event: name, Fields: fields}); err != nil {
			cancel(fmt.Errorf("stopping: %w", err))
		}
	}
	config.Audit, config.Hide = write, log.Hide
	write("launch", map[string]any{"identity": p.Identity, "agent": p.Agent, "bottle": p.Bottle, "firewall": p.Firewall.Engine, "cluster": true})
	o, err := overseer.New(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	log.Hide(o.Secrets()...)
	if err := a.serveDaemons(ctx, p, o, places); err != nil || asked.Err() != nil {
		return err
	}
	return context.Cause(ctx)
}

// serveDaemons hands every daemon its part and answers it.
func (a *App) serveDaemons(ctx context.Context, p plan.Plan, o *overseer.Overseer, places Places) error {
	inputs, err := o.Inputs()
	if err != nil {
		return err
	}
	if inputs[daemons.Gate], err = gateInputs(p, places.LinkKey); err != nil {
		return err
	}
	host := cluster.NewHost(cluster.Config{
		Dir: places.Control, Daemons: places.daemonsOf(inputs), Inputs: inputs, Answer: o.Answer,
		Log: func(text string) { a.say(ctx, "overseer", text) },
	})
	o.Follow(host.Deliver)
	return host.Serve(ctx)
}

// daemonsOf are the daemons that have inputs, in the order of their names.
func (p Places) daemonsOf(inputs map[string]control.Inputs) []daemons.Daemon {
	var list []daemons.Daemon
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		if d, ok := daemons.ByName(name); ok {
			if p.user != nil {
				d.UID = p.user(d.UID)
			}
			list = append(list, d)
		}
	}
	return list
}

func gateInputs(p plan.Plan, keyFile string) (control.Inputs, error) {
	key, err := readLinkKey(keyFile)
	if err != nil {
		return nil, err
	}
	var ports []uint16
	for _, port := range p.Ports {
		ports = append(ports, uint16(port.Guest))
	}
	return gate.Inputs(key, ports)
}

func readLinkKey(name string) (link.Key, error) {
	text, err := readSmall(name)
	if err != nil {
		return link.Key{}, fmt.Errorf("reading the link key: %w", err)
	}
	return link.ParseKey(text)
}

func (a *App) overseerConfig(p plan.Plan, instance *state.Instance, places Places) (overseer.Config, error) {
	secrets, err := a.secrets(p)
	if err != nil {
		return overseer.Config{}, err
	}
	config := overseer.Config{
		Plan: p, Instance: instance.Dir(), Tokens: secrets.Tokens, Remotes: secrets.Remotes, UpstreamCAs: secrets.UpstreamCAs,
		UpstreamProxy: secrets.UpstreamProxy, UpstreamProxyAuth: secrets.UpstreamProxyAuth,
		Say:   func(text string) { a.say(context.Background(), "supervise", text) },
		Alarm: func(seen canary.Sighting) { a.say(context.Background(), "ALARM", seen.String()) },
		Now:   time.Now,
	}
	if !slices.Contains(p.Daemons, daemons.Egress) {
		return config, nil
	}
	cert, err := readSmall(places.CACert)
	if err != nil {
		return overseer.Config{}, fmt.Errorf("reading the authority: %w", err)
	}
	key, err := readSmall(places.CAKey)
	if err != nil {
		return overseer.Config{}, fmt.Errorf("reading the authority: %w", err)
	}
	config.Authority, err = ca.Load(cert, secret.New(string(key)), rand.Reader)
	return config, err
}

func (a *App) say(ctx context.Context, step, text string) {
	a.events.Send(ctx, event.Event{Kind: event.Info, Step: step, Text: text})
}

func readPlan(name string) (plan.Plan, error) {
	var p plan.Plan
	data, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err == nil && p.Format != plan.Format {
		err = fmt.Errorf("it has format %d, this bottle reads %d", p.Format, plan.Format)
	}
	if err != nil {
		return plan.Plan{}, &Problem{
			Err:   fmt.Errorf("reading the plan: %w", err),
			Hints: []string{"bottle render kubernetes AGENT writes the manifests that run this"},
		}
	}
	return p, nil
}

// clusterInstance is the directory of the proposals, so that `kubectl exec ... bottle
// supervise` finds them. One that an overseer of this Pod left behind goes on.
func (a *App) clusterInstance(p plan.Plan) (*state.Instance, error) {
	id, err := names.ParseIdentity(p.Identity)
	if err != nil {
		return nil, err
	}
	instance, err := a.state.Create(id)
	if errors.Is(err, state.ErrExists) {
		if instance, err = a.state.Open(id); err == nil {
			err = instance.Lock()
		}
	}
	if err != nil {
		return nil, err
	}
	text, err := p.JSON()
	if err == nil {
		err = instance.WriteFile(state.PlanFile, text)
	}
	started, _, _ := execx.StartTime(os.Getpid())
	if err == nil {
		err = instance.WriteStatus(state.Status{
			Identity: id, Agent: p.Agent, Bottle: p.Bottle, Firewall: p.Firewall.Engine, Phase: state.Running,
			PID: os.Getpid(), PIDStart: started, Created: time.Now().UTC(), VMTool: "kubernetes", Machine: p.VM.Name,
		})
	}
	if err != nil {
		instance.Unlock()
		return nil, err
	}
	return instance, nil
}
