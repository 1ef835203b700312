// Package gate is the daemon that owns the bundle's only published port.
//
// A connection to it proves the bottle's link key, names a daemon's port, and is then
// spliced to that daemon on 127.0.0.1. Invariants: without the key nobody gets a byte of a
// daemon; it admits nobody before it has a key, and never to a port that it was not given;
// it has a uid of its own and nothing else of the bundle.
package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"bottle.internal/internal/control"
	"bottle.internal/internal/link"
	"bottle.internal/internal/secret"
)

// Listen is the gate's address in the container.
const Listen = "0.0.0.0:7070"

// The names of the inputs.
const (
	inputKey   = "link-key"
	inputPorts = "ports.json"
)

// Channel is the daemon's way to init; [*control.Daemon] is one.
type Channel interface {
	FirstInputs(ctx context.Context) (control.Inputs, error)
	Inputs() <-chan control.Inputs
}

// Inputs are what Run needs: the key, and the ports on 127.0.0.1 that it opens.
func Inputs(key link.Key, ports []uint16) (control.Inputs, error) {
	text, err := json.Marshal(ports)
	if err != nil {
		return nil, fmt.Errorf("encoding the gate's ports: %w", err)
	}
	return control.Inputs{inputKey: secret.New(string(key.Reveal())), inputPorts: secret.New(string(text))}, nil
}

// Run serves listen until ctx ends. New inputs hold from the next connection on.
func Run(ctx context.Context, channel Channel, listen string) error {
	inputs, err := channel.FirstInputs(ctx)
	if err != nil {
		return err
	}
	g := link.NewGate()
	if err := open(g, inputs); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", listen)
	if err != nil {
		return fmt.Errorf("opening the gate: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	served := make(chan struct{})
	go func() { defer close(served); g.Serve(ctx, listener) }()
	for {
		select {
		case inputs, ok := <-channel.Inputs():
			if !ok {
				err = errors.New("init is gone")
			} else {
				err = open(g, inputs)
			}
			if err != nil { // an unknown key is no key
				cancel(err)
				<-served
				return err
			}
		case <-served:
			return nil
		}
	}
}

func open(g *link.Gate, inputs control.Inputs) error {
	key, ports, err := Parse(inputs)
	if err == nil {
		g.Open(key, ports)
	}
	return err
}

// Parse reads what Inputs made.
func Parse(inputs control.Inputs) (link.Key, []uint16, error) {
	key, err := link.ParseKey([]byte(inputs[inputKey].Reveal()))
	if err != nil {
		return link.Key{}, nil, err
	}
	var ports []uint16
	if err := json.Unmarshal([]byte(inputs[inputPorts].Reveal()), &ports); err != nil {
		return link.Key{}, nil, fmt.Errorf("reading %s: %w", inputPorts, err)
	}
	return key, ports, nil
}
