package launch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"bottle.internal/internal/event"
	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/launch/undo"
	"bottle.internal/internal/link"
	"bottle.internal/internal/state"
	"bottle.internal/pkg/smolvm"
)

// bootTimeout bounds create and start; an emulated guest on a busy machine takes its time.
const bootTimeout = 3 * time.Minute

// The labels by which a machine is known to be ours, as the bundle's things are.
const (
	LabelIdentity = "bottle.identity"
	LabelOwner    = "bottle.owner"
)

// startRelays opens one socket for each guest port. They lead nowhere until the bundle
// has an address.
func (b *Bottle) startRelays(ctx context.Context) error {
	dir, err := b.socketDir()
	if err != nil {
		return err
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
		b.undo.Push("the relay of port "+strconv.Itoa(port.Guest), func(context.Context) error { return relay.Close() })
	}
	return nil
}

// socketDir is where the sockets are. A machine that is resumed looks for them where they
// were when it was made.
func (b *Bottle) socketDir() (string, error) {
	if dir := b.status.SocketDir; dir != "" {
		if err := b.instance.RestoreSocketDir(dir); err == nil || !b.kept.Fresh {
			return dir, err
		}
	}
	dir, outside, err := b.instance.SocketDir()
	if err != nil || !outside {
		return dir, err
	}
	b.did("the socket directory")
	b.status.SocketDir = dir // Remove reads it from the status file
	if err := b.record(state.Starting); err != nil {
		return "", errors.Join(err, os.Remove(dir))
	}
	return dir, nil
}

func socketPath(dir string, port int) string {
	return filepath.Join(dir, strconv.Itoa(port)+".sock")
}

func (b *Bottle) startMachine(ctx context.Context, stack *undo.Stack) error {
	artifact, err := b.needsMachine(ctx)
	if err != nil {
		return err
	}
	name := b.plan.VM.Name
	b.say(ctx, event.Start, "boot", "booting "+name)
	stack.Push("the machine "+name, b.endMachine)
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

// needsMachine finds what a new machine is made from. One that is resumed is there: nil.
func (b *Bottle) needsMachine(ctx context.Context) (*Artifact, error) {
	if b.kept != nil && !b.kept.Fresh {
		return nil, nil
	}
	artifact, err := b.deps.Artifact(ctx)
	if err != nil {
		return nil, err
	}
	b.status.Artifact, b.status.ImageKey = artifact.Path, b.plan.Image.Key
	b.status.ImageDigest, b.status.PackSHA256 = artifact.Image, artifact.SHA256
	return &artifact, b.write(state.Starting)
}

// endMachine is the undoing of a machine.
func (b *Bottle) endMachine(ctx context.Context) error {
	if b.keep {
		return b.deps.Machine.Stop(ctx, b.plan.VM.Name)
	}
	return b.deps.Machine.Delete(ctx, b.plan.VM.Name)
}

// boot returns when the machine runs. The first programs in it may still be killed; the
// proof, which is the first one, is tried again then, so nobody waits for another here.
func (b *Bottle) boot(ctx context.Context, artifact *Artifact) error {
	name := b.plan.VM.Name
	if ctx.Err() != nil { // before anything is lost
		return context.Cause(ctx)
	}
	if b.kept != nil && artifact != nil { // a fresh one in place of the old
		if err := b.deps.Machine.Delete(ctx, name); err != nil {
			return fmt.Errorf("deleting the old machine: %w", err)
		}
		b.did("deleting the old machine")
	}
	if artifact != nil {
		if err := b.deps.Machine.Create(ctx, b.machineOptions(*artifact)); err != nil {
			return fmt.Errorf("creating the machine: %w", err)
		}
		b.did("creating the machine")
	}
	if err := b.deps.Machine.Start(ctx, name); err != nil {
		return fmt.Errorf("starting the machine: %w", err)
	}
	b.did("starting the machine")
	return nil
}

func (b *Bottle) machineOptions(artifact Artifact) smolvm.CreateOptions {
	options := smolvm.CreateOptions{
		Name: b.plan.VM.Name, From: artifact.Path, CPUs: b.plan.VM.CPUs, MemMiB: b.plan.VM.MemoryMiB,
		OverlayGiB: b.plan.VM.DiskGiB, Labels: maps.Clone(b.plan.Labels),
	}
	if options.Labels == nil {
		options.Labels = map[string]string{}
	}
	options.Labels[LabelIdentity], options.Labels[LabelOwner] = b.plan.Identity, b.deps.Owner
	if artifact.Archive {
		options.From, options.Image = "", artifact.Path
	}
	for _, port := range b.plan.Ports {
		options.Sockets = append(options.Sockets, smolvm.Socket{
			Host: socketPath(b.sockets, port.Guest), Guest: guestapi.SocketPath(uint16(port.Guest)),
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
