//go:build linux

package main

import (
	"bytes"
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
)

// freePort is a loopback port that nobody listens on just now.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

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

// safeBuffer is a log that a test may read while it is written.
type safeBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func serving(t *testing.T, dir string, conns int) *safeBuffer {
	t.Helper()
	logged := &safeBuffer{}
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

// eventually polls: what it waits for is another goroutine's rescan.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !check() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func dial(t *testing.T, port int) *net.TCPConn {
	t.Helper()
	var conn net.Conn
	eventually(t, "a listener on the port", func() (ok bool) {
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
