package firewall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"bottle.internal/internal/control"
	"bottle.internal/internal/netguard"
	"bottle.internal/internal/printable"
)

// DefaultListen is where the bundle's gate finds the firewall.
const DefaultListen = "127.0.0.1:8888"

// Channel brings the inputs of the firewall: [PipelockFile] and [RoutesFile], nothing
// else. [*control.Daemon] is one.
type Channel interface {
	FirstInputs(ctx context.Context) (control.Inputs, error)
	Inputs() <-chan control.Inputs
}

// Daemon is the program `bundle firewall`. The zero Daemon is the bundle's own; tests set
// other addresses.
type Daemon struct {
	Listen string     // a loopback address and port; default [DefaultListen]
	Egress netip.Addr // see [Config]
	Dialer netguard.Dialer
	Limits Limits
}

// Run is the builtin engine as init starts it. See [Daemon.Run].
func Run(ctx context.Context, channel Channel, log io.Writer) error {
	return Daemon{}.Run(ctx, channel, log)
}

// Run serves until ctx ends and returns nil then. First inputs that are not understood,
// a busy port and the end of the channel are errors. Later inputs replace the policy at
// once; ones that are not understood leave the old policy in force and are logged.
func (d Daemon) Run(ctx context.Context, channel Channel, log io.Writer) error {
	listen := cmp.Or(d.Listen, DefaultListen)
	if err := CheckListen(listen); err != nil {
		return err
	}
	inputs, err := channel.FirstInputs(ctx)
	if err != nil {
		return err
	}
	policy, err := Load(inputs)
	if err != nil {
		return err
	}
	server, err := NewServer(Config{Policy: policy, Dialer: d.Dialer, Log: log, Limits: d.Limits, Egress: d.Egress})
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", listen, err)
	}
	return server.ServeAndFollow(ctx, listener, func(ctx context.Context) error {
		return server.Follow(ctx, channel.Inputs(), Load)
	})
}

// ServeAndFollow serves until ctx ends or follow returns, which runs beside it, and waits
// for both. It returns nil when ctx ended.
func (s *Server) ServeAndFollow(ctx context.Context, listener net.Listener, follow func(context.Context) error) error {
	serving, cancel := context.WithCancelCause(ctx)
	var following sync.WaitGroup
	following.Go(func() { cancel(follow(serving)) })
	err := s.Serve(serving, listener)
	cancel(err)
	following.Wait()
	if cause := context.Cause(serving); ctx.Err() == nil && err == nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// CheckListen keeps an engine behind the gate of init: it has no key of its own.
func CheckListen(listen string) error {
	addr, err := netip.ParseAddrPort(listen)
	if err != nil || !addr.Addr().IsLoopback() {
		return fmt.Errorf("listening on %q: only a loopback address and port are allowed, such as %s", listen, DefaultListen)
	}
	return nil
}

// Follow takes new inputs, as load reads them, until ctx ends, which is no error, or the
// channel does.
func (s *Server) Follow(ctx context.Context, inputs <-chan control.Inputs, load func(control.Inputs) (Policy, error)) error {
	return control.Follow(ctx, inputs, func(next control.Inputs) {
		policy, err := load(next)
		if err == nil {
			err = s.Reload(policy)
		}
		if err != nil {
			s.journal.Write(line{Event: eventReload, Problem: printable.ASCII(err.Error(), 400)})
			return
		}
		s.journal.Write(line{Event: eventReload, Routes: s.routes()})
	})
}
