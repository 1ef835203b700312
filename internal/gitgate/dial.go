package gitgate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"bottle.internal/internal/netguard"
)

// dialTimeout keeps the way to an upstream that does not answer below the 5 s within
// which the agent must be told.
const dialTimeout = 4 * time.Second

// Dialer connects ssh to declared upstreams only; it is what ssh's ProxyCommand runs.
type Dialer struct {
	Targets []Target
	Guard   netguard.Dialer
}

// Target is one place that may be dialed, and the private ranges it may be in.
type Target struct {
	Host   string         `json:"host"`
	Port   uint16         `json:"port"`
	Opened []netip.Prefix `json:"opened,omitempty"`
}

// stdio are the pipes to ssh.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// DialMain is the program `bundle git-dial TARGETS HOST PORT`: it copies between the pipes
// and the upstream until either ends. TARGETS is the file that the daemon wrote. The exit
// code is 0, 1 for what cannot or may not be dialed, 2 for usage.
func DialMain(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return dialMain(ctx, args, stdio{stdin, stdout, stderr}, netguard.Dialer{})
}

func dialMain(ctx context.Context, args []string, pipes stdio, guard netguard.Dialer) int {
	if len(args) != 3 {
		_, _ = fmt.Fprintln(pipes.err, "git-dial: want TARGETS HOST PORT")
		return 2
	}
	dialer := Dialer{Guard: guard}
	data, err := os.ReadFile(args[0]) //nolint:gosec // the daemon names its own file
	if err == nil {
		err = json.Unmarshal(data, &dialer.Targets)
	}
	if err == nil {
		err = dialer.dial(ctx, args[1], args[2], pipes)
	}
	if err != nil {
		_, _ = fmt.Fprintf(pipes.err, "git-dial: %v\n", err)
		return 1
	}
	return 0
}

// dial refuses what is not declared before any name is looked up.
func (d Dialer) dial(ctx context.Context, host, port string, pipes stdio) error {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("%.20q is not a port", port)
	}
	for _, target := range d.Targets {
		if target.Host == host && uint64(target.Port) == number {
			return d.connect(ctx, target, pipes)
		}
	}
	return fmt.Errorf("%.80q port %s is not a declared upstream", host, port)
}

func (d Dialer) connect(ctx context.Context, target Target, pipes stdio) error {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, _, err := d.Guard.Dial(dialing, target.Host, target.Port, target.Opened)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", target.Host, err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	return splice(conn, pipes)
}

// splice ends with the upstream's side. The copy from ssh may still wait for a pipe that
// nobody closes; it ends with the program.
func splice(conn net.Conn, pipes stdio) error {
	go func() {
		_, _ = io.Copy(conn, pipes.in)
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	if _, err := io.Copy(pipes.out, conn); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("copying from the upstream: %w", err)
	}
	return nil
}
