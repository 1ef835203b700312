package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"bottle.internal/internal/event"
	"bottle.internal/internal/guest"
	"bottle.internal/internal/link"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

// bootTimeout bounds create and start; an emulated guest on a busy machine takes its time.
const bootTimeout = 3 * time.Minute

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
		b.alarm.relays = append(b.alarm.relays, relay)
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

// boot returns when the machine runs. The first programs in it may still be killed; the
// proof, which is the first one, is tried again then, so nobody waits for another here.
func (b *Bottle) boot(ctx context.Context, artifact Artifact) error {
	name := b.plan.VM.Name
	if err := b.deps.Machine.Create(ctx, b.machineOptions(artifact)); err != nil {
		return fmt.Errorf("creating the machine: %w", err)
	}
	if err := b.deps.Machine.Start(ctx, name); err != nil {
		return fmt.Errorf("starting the machine: %w", err)
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

func (b *Bottle) say(ctx context.Context, kind event.Kind, step, text string) {
	b.deps.Events.Send(ctx, event.Event{Kind: kind, Step: step, Text: text})
}
