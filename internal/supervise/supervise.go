// Package supervise is the bundle's daemon through which an agent asks a human: an MCP
// server over streamable HTTP, on the bundle's loopback.
//
// It is a thin front. It checks what is asked ([ask]), passes it to the bottle's process on
// the host, and says what that answers. Invariants:
//
//   - It keeps nothing: no proposal, no decision, no MCP session. A restart loses no answer,
//     and asking again with the same arguments gives the same one.
//   - Without the host's answer nothing is approved.
//   - A request with an Origin or another Host than the daemon's own address is refused: a web
//     page cannot talk to it, whatever name it rebinds.
//   - At most 8 exchanges are under way, a request has at most 1 MiB and no batch, and a
//     connection that is idle for 15 minutes is closed.
//   - The log names tools and outcomes, never what the agent wrote.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"bottle.internal/internal/ask"
	"bottle.internal/internal/control"
)

// DefaultListen is where the bundle's gate finds the daemon.
const DefaultListen = "127.0.0.1:9100"

// Channel is the daemon's way to the host; [*control.Daemon] is one.
type Channel interface {
	FirstInputs(ctx context.Context) (control.Inputs, error)
	Inputs() <-chan control.Inputs
	Ask(ctx context.Context, kind string, body, answer any) error
}

// Run serves on 127.0.0.1:9100 until ctx ends. A first input that is not understood is an
// error; a later one leaves the old in force and is logged.
func Run(ctx context.Context, channel Channel, log io.Writer) error {
	inputs, err := channel.FirstInputs(ctx)
	if err != nil {
		return err
	}
	public, err := parseInputs(inputs)
	if err != nil {
		return err
	}
	server := NewServer(Config{Public: public, Channel: channel, Log: log})
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", DefaultListen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", DefaultListen, err)
	}
	return server.Follow(ctx, listener)
}

// Follow is Serve that takes up new inputs of the channel too. It fails when the channel
// ends: nobody could be asked any more.
func (s *Server) Follow(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var following sync.WaitGroup
	following.Go(func() { cancel(control.Follow(ctx, s.channel.Inputs(), s.reload)) })
	err := s.Serve(ctx, listener)
	if ended := context.Cause(ctx); errors.Is(ended, control.ErrOrphaned) {
		err = errors.Join(err, ended)
	}
	cancel(nil)
	following.Wait()
	return err
}

func parseInputs(inputs control.Inputs) (ask.Public, error) {
	if len(inputs) != 1 {
		return ask.Public{}, fmt.Errorf("%d inputs, only %s is understood", len(inputs), ask.InputName)
	}
	return ask.ParsePublic([]byte(inputs[ask.InputName].Reveal()))
}

func (s *Server) reload(inputs control.Inputs) {
	public, err := parseInputs(inputs)
	if err != nil {
		s.journal.Write(line{Event: eventReload, Problem: err.Error()})
		return
	}
	s.public.Store(&public)
	s.journal.Write(line{Event: eventReload, Routes: len(public.Routes)})
}
