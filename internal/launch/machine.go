package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"bottle.internal/internal/event"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/guest"
	"bottle.internal/internal/link"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

const (
	// bootTimeout bounds create, start and the first exec; an emulated guest on a busy
	// machine takes its time.
	bootTimeout = 3 * time.Minute
	// proofTimeout bounds the wait for the firewall to answer inside the guest.
	proofTimeout = 20 * time.Second
	proofPause   = 100 * time.Millisecond
)

// writeConfig renders the directory that the bundle sees.
func (b *Bottle) writeConfig() error {
	policy, err := policyOf(b.plan)
	if err != nil {
		return err
	}
	files, err := firewall.Render(policy)
	if err != nil {
		return fmt.Errorf("rendering the firewall's configuration: %w", err)
	}
	for _, file := range files {
		if err := b.instance.WriteFile(filepath.Join(state.ConfigDir, file.Name), file.Data); err != nil {
			return err
		}
	}
	return nil
}

func policyOf(p plan.Plan) (firewall.Policy, error) {
	policy := firewall.Policy{Bottle: p.Bottle}
	for _, host := range p.Firewall.Hosts {
		entry := firewall.Host{
			Host: host.Host, Port: uint16(host.Port), Scheme: firewall.Scheme(host.Scheme), Private: host.Private,
		}
		for _, text := range host.AllowPrivate {
			prefix, err := netip.ParsePrefix(text)
			if err != nil {
				return firewall.Policy{}, fmt.Errorf("reading allow_private of %s: %w", host.Host, err)
			}
			entry.AllowPrivate = append(entry.AllowPrivate, prefix)
		}
		policy.Hosts = append(policy.Hosts, entry)
	}
	return policy, nil
}

// startRelays opens one socket for each guest port. They lead nowhere until the bundle
// has an address.
func (b *Bottle) startRelays(ctx context.Context) error {
	dir, outside, err := b.instance.SocketDir()
	if err != nil {
		return err
	}
	if outside {
		b.status.SocketDir = dir // Remove reads it from the status file
		if err := b.record(state.Starting); err != nil {
			return errors.Join(err, os.Remove(dir))
		}
	}
	b.sockets = dir
	for _, port := range b.plan.Ports {
		relay, err := link.NewRelay(ctx, link.RelayConfig{
			Socket: socketPath(dir, port.Guest), Port: uint16(port.Guest), Key: b.key, Gate: b.gate,
		})
		if err != nil {
			return fmt.Errorf("opening the way to the %s: %w", port.Daemon, err)
		}
		b.undo.push("the relay of port "+strconv.Itoa(port.Guest), func(context.Context) error { return relay.Close() })
	}
	return nil
}

func socketPath(dir string, port int) string {
	return filepath.Join(dir, strconv.Itoa(port)+".sock")
}

func (b *Bottle) startMachine(ctx context.Context, undo *undo) error {
	artifact, err := b.deps.Artifact(ctx)
	if err != nil {
		return err
	}
	name := b.plan.VM.Name
	b.say(ctx, event.Start, "boot", "booting "+name)
	undo.push("the machine "+name, func(ctx context.Context) error { return b.deps.Machine.Delete(ctx, name) })
	ctx, cancel := context.WithTimeoutCause(ctx, bootTimeout, fmt.Errorf("%s was not up within %s", name, bootTimeout))
	defer cancel()
	if err := b.boot(ctx, artifact); err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) { // the tool's own words would not say so
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return &BootError{Err: err}
	}
	b.say(ctx, event.Done, "boot", name+" is up")
	return nil
}

// boot returns when programs can be run in the machine.
func (b *Bottle) boot(ctx context.Context, artifact Artifact) error {
	name := b.plan.VM.Name
	if err := b.deps.Machine.Create(ctx, b.machineOptions(artifact)); err != nil {
		return fmt.Errorf("creating the machine: %w", err)
	}
	if err := b.deps.Machine.Start(ctx, name); err != nil {
		return fmt.Errorf("starting the machine: %w", err)
	}
	if err := b.deps.Machine.WaitReady(ctx, name); err != nil {
		return fmt.Errorf("waiting for the machine: %w", err)
	}
	return nil
}

func (b *Bottle) machineOptions(artifact Artifact) smolvm.CreateOptions {
	options := smolvm.CreateOptions{
		Name: b.plan.VM.Name, From: artifact.Path, CPUs: b.plan.VM.CPUs, MemMiB: b.plan.VM.MemoryMiB,
		OverlayGiB: b.plan.VM.DiskGiB, Labels: b.plan.Labels,
	}
	if artifact.Archive {
		options.From, options.Image = "", artifact.Path
	}
	for _, port := range b.plan.Ports {
		options.Sockets = append(options.Sockets, smolvm.Socket{
			Host: socketPath(b.sockets, port.Guest), Guest: guest.SocketPath(uint16(port.Guest)),
		})
	}
	return options
}

// BootError says that the machine did not come up, or not with a way out.
type BootError struct{ Err error }

func (e *BootError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *BootError) Unwrap() error { return e.Err }

// HintLines says where to look.
func (e *BootError) HintLines() []string { return []string{"bottle doctor"} }

// proveFirewall lets the guest ask the firewall for its health: nothing else is given
// to it before the one way out is known to work.
func (b *Bottle) proveFirewall(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	last := errors.New("bottle-guest health never ended")
	for {
		code, err := b.deps.Machine.Exec(ctx, smolvm.ExecOptions{
			Name: b.plan.VM.Name, Command: guest.HealthArgs(plan.PortFirewall), Stdout: io.Discard, Stderr: io.Discard,
		})
		if err == nil && code == 0 {
			b.say(ctx, event.Info, "proof", "the firewall answers from inside the guest")
			return nil
		}
		if errors.Is(err, smolvm.ErrNotRunning) || errors.Is(err, smolvm.ErrNotFound) {
			return &BootError{Err: fmt.Errorf("asking for the firewall inside the guest: %w", err)}
		}
		if ctx.Err() == nil { // else it is about our own end of patience
			last = err
			if err == nil {
				last = fmt.Errorf("bottle-guest health ended with status %d", code)
			}
		}
		select {
		case <-ctx.Done():
			return &BootError{Err: fmt.Errorf("the firewall did not answer inside the guest within %s (%w)", proofTimeout, last)}
		case <-time.After(proofPause):
		}
	}
}

func (b *Bottle) say(ctx context.Context, kind event.Kind, step, text string) {
	b.deps.Events.Send(ctx, event.Event{Kind: kind, Step: step, Text: text})
}
