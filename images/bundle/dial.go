//go:build linux

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

const dialTimeout = 3 * time.Second

// dial prints one line for each target, in their order: "ok ADDRESS", "refused ADDRESS:
// why" or "unresolved HOST". The host proves with it that a target which the agent must not
// reach is alive. HOST:PORT=HEX also sends those bytes, by which the host knows its own dial.
func dial(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		_, _ = fmt.Fprintln(stderr, "bundle dial: want HOST:PORT")
		return 2
	}
	calls := make([]call, len(args))
	for i, arg := range args {
		var err error
		if calls[i], err = parseCall(arg); err != nil {
			_, _ = fmt.Fprintf(stderr, "bundle dial: %v\n", err)
			return 2
		}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	answers := make([]string, len(calls))
	var all sync.WaitGroup
	for i, c := range calls {
		all.Go(func() { answers[i] = c.dial(ctx) })
	}
	all.Wait()
	code := 0
	for _, answer := range answers {
		_, _ = fmt.Fprintln(stdout, answer)
		if !strings.HasPrefix(answer, "ok ") {
			code = 1
		}
	}
	return code
}

type call struct {
	host, port string
	nonce      []byte
}

func parseCall(arg string) (call, error) {
	target, text, _ := strings.Cut(arg, "=")
	host, port, err := net.SplitHostPort(target)
	nonce, hexErr := hex.DecodeString(text)
	if err != nil || host == "" || port == "" || hexErr != nil {
		return call{}, fmt.Errorf("%q is not HOST:PORT", arg)
	}
	return call{host, port, nonce}, nil
}

func (c call) dial(ctx context.Context) string {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", c.host)
	if err != nil {
		return "unresolved " + c.host
	}
	var last string
	for _, addr := range addrs {
		reached := net.JoinHostPort(addr.Unmap().String(), c.port)
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", reached)
		if err == nil {
			_, _ = conn.Write(c.nonce)
			_ = conn.Close()
			return "ok " + reached
		}
		last = fmt.Sprintf("refused %s: %v", reached, reason(err))
	}
	return last
}

// reason is the last word of a dial error: the rest repeats the address.
func reason(err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}
