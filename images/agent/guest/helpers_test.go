//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"bottle.internal/tests/eventually"
	"bottle.internal/tests/logtest"
)

// mount listens where the VM tool would mount the host's socket.
func mount(t *testing.T, dir string, port int, handle func(*net.UnixConn)) *net.UnixListener {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, strconv.Itoa(port)+".sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		conns.Wait()
	})
	return listener
}

func serving(t *testing.T, dir string, conns int) *logtest.Buffer {
	t.Helper()
	logged := &logtest.Buffer{}
	s := &server{dir: dir, every: 2 * time.Millisecond, conns: conns, log: log.New(logged, "", 0)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return logged
}

func dial(t *testing.T, port int) *net.TCPConn {
	t.Helper()
	var conn net.Conn
	eventually.True(t, "a listener on the port", func() (ok bool) {
		var err error
		conn, err = net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		return err == nil
	})
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

func echo(conn *net.UnixConn) {
	_, _ = io.Copy(conn, conn)
	_ = conn.CloseWrite()
}
