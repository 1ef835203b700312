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

// healthTimeout bounds one question; the host asks again.
const healthTimeout = 5 * time.Second

// health asks the daemon behind a guest port for its health, over the same road that
// the agent will use. A raw HTTP/1.0 request keeps net/http out of this program.
func health(args []string) error {
	if len(args) != 1 {
		return usageError{"health takes one port"}
	}
	port, err := strconv.ParseUint(args[0], 10, 16)
	if err != nil || port == 0 {
		return usageError{fmt.Sprintf("no port: %.20q", args[0])}
	}
	addr := net.JoinHostPort("127.0.0.1", args[0])
	conn, err := net.DialTimeout("tcp4", addr, healthTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(healthTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", addr); err != nil {
		return err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 512)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("reading the answer of port %d: %w", port, err)
	}
	if fields := strings.Fields(line); len(fields) < 2 || fields[1] != "200" {
		return errors.New("port " + args[0] + " answered " + strconv.Quote(strings.TrimSpace(line)))
	}
	return nil
}
