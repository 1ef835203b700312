//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/control"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/firewall/pipelock"
)

// program is a daemon's own code: it serves until ctx ends and logs JSON lines.
type program func(ctx context.Context, channel *control.Daemon, log io.Writer) error

// runDaemon runs a daemon on the channel that init left to this process.
func runDaemon(ctx context.Context, run program, log io.Writer) error {
	return runOn(ctx, run, log, control.OpenDaemon)
}

// runOn runs a daemon on a channel. Whatever it is told is a secret: it cannot be read
// through /proc or from a core file.
func runOn(ctx context.Context, run program, log io.Writer, open func() (*control.Daemon, error)) (err error) {
	if err := harden(); err != nil {
		return err
	}
	channel, err := open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, channel.Close()) }()
	return run(ctx, channel, log)
}

// firewallChannel is what both engines need.
type firewallChannel interface {
	FirstInputs(ctx context.Context) (control.Inputs, error)
	Inputs() <-chan control.Inputs
}

// runFirewall runs the engine that the first inputs name: the operator's, or the builtin one.
func runFirewall(ctx context.Context, channel firewallChannel, log io.Writer) error {
	first, err := channel.FirstInputs(ctx)
	if err != nil {
		return err
	}
	again := replayed{channel, first}
	if _, ok := first[pipelock.EngineFile]; ok {
		return pipelock.Run(ctx, again, log)
	}
	return firewall.Run(ctx, again, log)
}

// replayed is a channel whose first inputs were looked at.
type replayed struct {
	firewallChannel
	first control.Inputs
}

// FirstInputs returns what was looked at.
func (r replayed) FirstInputs(context.Context) (control.Inputs, error) { return r.first, nil }

func harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hiding this process's memory: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("turning core files off: %w", err)
	}
	return nil
}
