package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"

	"bottle.internal/internal/printable"
)

// Briefly says in printable text why a connection failed. It keeps addresses of nameservers
// and sockets out of what the agent reads. An error that it does not know is cut at limit
// bytes.
func Briefly(err error, limit int) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	case errors.As(err, &dns):
		return "the nameserver failed"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	return printable.ASCII(fmt.Sprint(err), limit)
}
