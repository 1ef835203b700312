//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	healthTimeout  = 5 * time.Second // of one question
	healthPatience = 2 * time.Second // for the road to be there at all
	healthPause    = 20 * time.Millisecond
)

// errNoRoad means that nobody answered: the forwarder or the bundle is not up yet.
var errNoRoad = errors.New("nobody answered")

// health asks the daemon behind a guest port for its health, over the same road that
// the agent will use. A machine that has just started needs a moment; waiting for it
// here is cheaper than another call from the host.
func health(args []string, patience time.Duration) error {
	if err := onePort(args); err != nil {
		return err
	}
	for end := time.Now().Add(patience); ; time.Sleep(healthPause) {
		err := ask(net.JoinHostPort("127.0.0.1", args[0]))
		if err == nil || !errors.Is(err, errNoRoad) || time.Now().After(end) {
			return err
		}
	}
}

func onePort(args []string) error {
	if len(args) != 1 {
		return usageError{"want one port"}
	}
	if port, err := strconv.ParseUint(args[0], 10, 16); err != nil || port == 0 {
		return usageError{fmt.Sprintf("no port: %.20q", args[0])}
	}
	return nil
}

// ask sends a raw request, which keeps net/http out of this program.
func ask(addr string) error {
	conn, err := (&net.Dialer{Timeout: healthTimeout}).Dial("tcp4", addr)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoRoad, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(healthTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", addr); err != nil {
		return fmt.Errorf("%w: %w", errNoRoad, err)
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 512)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%w: %w", errNoRoad, err)
	}
	if fields := strings.Fields(line); len(fields) < 2 || fields[1] != "200" {
		return fmt.Errorf("%s answered %q", addr, strings.TrimSpace(line))
	}
	return nil
}
