package netguard_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"bottle.internal/internal/netguard"
)

func TestBriefly(t *testing.T) {
	t.Parallel()
	socket := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 53}
	for want, err := range map[string]error{
		"no such host":            fmt.Errorf("looking up: %w", &net.DNSError{IsNotFound: true, Server: "10.0.0.1"}),
		"timed out":               &net.DNSError{IsTimeout: true, Server: "10.0.0.1"},
		"the nameserver failed":   &net.DNSError{Err: "server misbehaving", Server: "10.0.0.1"},
		"canceled":                &net.OpError{Op: "dial", Addr: socket, Err: context.Canceled},
		"connection refused":      fmt.Errorf("dialing: %w", &net.OpError{Op: "dial", Addr: socket, Err: errors.New("connection refused")}),
		`a\nb`:                    errors.New("a\nb"),
		"01234567890123456789...": errors.New("0123456789012345678901"),
	} {
		if got := netguard.Briefly(err, 20); got != want {
			t.Errorf("Briefly(%v) = %q, want %q", err, got, want)
		}
	}
	if got := netguard.Briefly(context.DeadlineExceeded, 20); got != "timed out" {
		t.Errorf("a deadline: %q", got)
	}
}
