package launch

import (
	"context"
	"fmt"
	"io"
	"os"

	"bottle.internal/internal/control"
	"bottle.internal/internal/event"
	"bottle.internal/internal/launch/undo"
	"bottle.internal/internal/link"
	"bottle.internal/internal/state"
)

// Sidecars starts the bundle of a bottle.
type Sidecars interface {
	Start(ctx context.Context, spec SidecarSpec) (Sidecar, error)
}

// SidecarSpec is what the bundle of one bottle needs.
type SidecarSpec struct {
	Identity string
	Labels   map[string]string
	Hosts    []string // NAME:ADDRESS lines of the container's hosts file
	Key      link.Key
	Inputs   map[string]control.Inputs // of the daemons: configuration, keys, tokens
	// Answer answers what daemons ask; it is called side by side, and ends with its context.
	Answer    func(context.Context, control.Question) (any, error)
	Daemons   []string
	Ports     []uint16 // of the daemons, behind the gate
	Echo      []string // names of the echo upstream; none: no echo
	EchoStdin []byte   // its bootstrap, with its private key
	Log       io.Writer
	EchoLog   io.Writer
}

// Sidecar is a running bundle that has said it is ready.
type Sidecar interface {
	// Gate is the address of the gate on the host, or "" while the bundle is down.
	Gate() string
	// Reach dials every host:port from inside the bundle; host:port=HEX says those bytes.
	Reach(ctx context.Context, targets ...string) []error
	// Deliver replaces the inputs of a daemon, now and after every restart.
	Deliver(ctx context.Context, daemon string, inputs control.Inputs) error
	Close(ctx context.Context) error
}

// startSidecar starts the bundle and waits until all of its daemons answer.
func (b *Bottle) startSidecar(ctx context.Context, stack *undo.Stack) error {
	spec, err := b.sidecarSpec()
	if err != nil {
		return err
	}
	logFile, err := os.OpenFile(b.instance.Path(state.BundleLog), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the bundle's log: %w", err)
	}
	stack.Push("the bundle's log", func(context.Context) error { return logFile.Close() })
	lines := b.deps.Audit.Bundle()
	stack.Push("the bundle's lines of the audit log", func(context.Context) error { return lines.Close() })
	// The audit log comes first: a writer that fails keeps the line from those after it.
	kept := &bounded{out: logFile, limit: maxBundleLog}
	spec.Log, spec.EchoLog = io.MultiWriter(lines, b.tally, kept), kept
	b.say(ctx, event.Start, "bundle", "starting the bundle")
	sidecar, err := b.deps.Sidecars.Start(ctx, spec)
	if err != nil {
		return err
	}
	stack.Push("the bundle", sidecar.Close)
	b.mu.Lock()
	b.sidecar = sidecar
	b.mu.Unlock()
	b.overseer.Follow(sidecar.Deliver)
	if err := b.openTargets(ctx, stack, sidecar); err != nil {
		return err
	}
	b.say(ctx, event.Done, "bundle", "the bundle answers")
	return nil
}

func (b *Bottle) sidecarSpec() (SidecarSpec, error) {
	inputs, err := b.overseer.Inputs()
	if err != nil {
		return SidecarSpec{}, err
	}
	spec := SidecarSpec{
		Identity: b.plan.Identity, Labels: b.plan.Labels, Hosts: b.overseer.Hosts(),
		Key: b.key, Daemons: b.plan.Daemons, Inputs: inputs, Answer: b.overseer.Answer, Echo: b.plan.Echo,
	}
	for _, port := range b.plan.Ports {
		spec.Ports = append(spec.Ports, uint16(port.Guest))
	}
	if len(b.plan.Echo) > 0 {
		if spec.EchoStdin, err = b.echoBootstrap(); err != nil {
			return SidecarSpec{}, err
		}
	}
	return spec, nil
}

// gate is where the relays find the bundle at the moment.
func (b *Bottle) gate() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sidecar == nil {
		return ""
	}
	return b.sidecar.Gate()
}
