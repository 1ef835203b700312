//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"bottle.internal/internal/cluster"
	"bottle.internal/internal/control"
	"bottle.internal/internal/link"
)

// inCluster runs the commands that have no init above them.
func inCluster(ctx context.Context, command string, args []string, stdout io.Writer) (known bool, err error) {
	switch command {
	case "serve":
		return true, serve(ctx, cluster.ControlDir, args, stdout)
	case "relay":
		return true, relay(ctx, cluster.LinkKeyFile, args)
	case "sealed":
		return true, sealed(ctx, args, clusterPatience())
	}
	return false, nil
}

// serve runs one daemon in a container of its own, where the overseer takes init's place.
func serve(ctx context.Context, dir string, args []string, log io.Writer) error {
	if len(args) != 1 {
		return errors.New("want the name of a daemon")
	}
	daemon, ok := programs()[args[0]]
	if !ok {
		return fmt.Errorf("there is no daemon %q", args[0])
	}
	return runOn(ctx, daemon, log, func() (*control.Daemon, error) { return cluster.Open(ctx, dir, args[0]) })
}

// relay leads 127.0.0.1:PORT of the agent's Pod to the daemon at PORT behind the gate. The
// key is a file: everybody could read a command line.
func relay(ctx context.Context, keyFile string, args []string) (err error) {
	if len(args) < 3 {
		return errors.New("want the address and port of the gate, and ports")
	}
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return fmt.Errorf("reading the link key: %w", err)
	}
	key, err := link.ParseKey(text)
	if err != nil {
		return err
	}
	gate := net.JoinHostPort(args[0], args[1])
	var relays []*link.Relay
	defer func() {
		for _, r := range relays {
			err = errors.Join(err, r.Close())
		}
	}()
	for _, port := range args[2:] {
		r, err := relayPort(ctx, port, link.RelayConfig{Key: key, Gate: func() string { return gate }})
		if err != nil {
			return err
		}
		relays = append(relays, r)
	}
	<-ctx.Done()
	return nil
}

func relayPort(ctx context.Context, text string, config link.RelayConfig) (*link.Relay, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%q is no port", text)
	}
	config.Port = uint16(port)
	if config.Listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", text)); err != nil {
		return nil, fmt.Errorf("opening port %d: %w", port, err)
	}
	r, err := link.NewRelay(ctx, config)
	if err != nil {
		return nil, errors.Join(err, config.Listener.Close())
	}
	return r, nil
}

// How patient sealed is: the bundle may still come up, and policies come into force a little
// after a Pod has its address.
type patience struct{ whole, try, pause time.Duration }

func clusterPatience() patience { return patience{2 * time.Minute, 3 * time.Second, time.Second} }

// sealed returns once the gate can be reached and a target that is alive cannot: then there
// is a network here, and its policies are in force. It fails closed: the agent is started
// after it, or not at all.
func sealed(ctx context.Context, args []string, p patience) error {
	if len(args) != 4 {
		return errors.New("want ALIVE-ADDRESS PORT GATE-ADDRESS PORT")
	}
	for _, address := range []string{args[0], args[2]} {
		if net.ParseIP(address) == nil { // a name without an address would prove nothing
			return fmt.Errorf("%q is no address: was the Service there before this Pod?", address)
		}
	}
	alive, gate := net.JoinHostPort(args[0], args[1]), net.JoinHostPort(args[2], args[3])
	ctx, cancel := context.WithTimeout(ctx, p.whole)
	defer cancel()
	if !p.until(ctx, func() bool { return p.reached(ctx, gate) }) {
		return fmt.Errorf("the gate at %s cannot be reached within %s", gate, p.whole)
	}
	if !p.until(ctx, func() bool { return !p.reached(ctx, alive) }) {
		return fmt.Errorf("%s can be reached from here: this cluster does not enforce the network policies, so no agent is started", alive)
	}
	return nil
}

func (p patience) until(ctx context.Context, done func() bool) bool {
	for !done() {
		select {
		case <-time.After(p.pause):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// reached gives every try its whole time: one that the deadline cut short would pass for a
// target that cannot be reached.
func (p patience) reached(ctx context.Context, target string) bool {
	dialer := net.Dialer{Timeout: p.try}
	conn, err := dialer.DialContext(context.WithoutCancel(ctx), "tcp", target)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}
