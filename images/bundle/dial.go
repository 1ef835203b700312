//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const dialTimeout = 3 * time.Second

// dial prints one line: "ok ADDRESS", "refused ADDRESS: why" or "unresolved HOST". The
// host proves with it that a target which the agent must not reach is alive.
func dial(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) != 1 {
		_, _ = fmt.Fprintln(stderr, "bundle dial: want one HOST:PORT")
		return 2
	}
	host, port, err := net.SplitHostPort(args[0])
	if err != nil || host == "" || port == "" {
		_, _ = fmt.Fprintf(stderr, "bundle dial: %q is not HOST:PORT\n", args[0])
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		_, _ = fmt.Fprintf(stdout, "unresolved %s\n", host)
		return 1
	}
	var last string
	for _, addr := range addrs {
		reached := net.JoinHostPort(addr.Unmap().String(), port)
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", reached)
		if err == nil {
			_ = conn.Close()
			_, _ = fmt.Fprintf(stdout, "ok %s\n", reached)
			return 0
		}
		last = fmt.Sprintf("refused %s: %v", reached, reason(err))
	}
	_, _ = fmt.Fprintln(stdout, last)
	return 1
}

// reason is the last word of a dial error: the rest repeats the address.
func reason(err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}
