//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/execx"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/fakenet"
)

func TestServeForwardsSocketsThatComeAndGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port := int(fakenet.FreePort(t))
	logged := serving(t, dir, maxConns)
	if err := os.WriteFile(filepath.Join(dir, "env"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "99.sock"), nil, 0o600); err != nil { // no socket
		t.Fatal(err)
	}
	listener := mount(t, dir, port, echo)
	conn := dial(t, port)
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "ping" {
		t.Fatalf("%q, %v", answer, err)
	}

	listener.Close() // removes the socket
	eventually.True(t, "the port is closed", func() bool {
		other, err := net.Dial("tcp4", conn.RemoteAddr().String())
		if err == nil {
			other.Close()
		}
		return errors.Is(err, unix.ECONNREFUSED)
	})
	if _, err := conn.Write([]byte("pong")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "pong" {
		t.Errorf("an old connection must live on: %q, %v", answer, err)
	}
	if want := fmt.Sprintf("forwarding 127.0.0.1:%d\n", port); strings.Count(logged.String(), "forwarding 127") != 1 || !strings.HasPrefix(logged.String(), want) {
		t.Errorf("log: %q, want %q", logged.String(), want)
	}
}

func TestServeHalfCloses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port := int(fakenet.FreePort(t))
	serving(t, dir, maxConns)
	mount(t, dir, port, func(conn *net.UnixConn) {
		asked, _ := io.ReadAll(conn) // needs the end of the client's half
		fmt.Fprintf(conn, "%d bytes", len(asked))
	})
	conn := dial(t, port)
	fmt.Fprint(conn, "question")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || string(answer) != "8 bytes" {
		t.Errorf("%q, %v", answer, err)
	}

	// And the other way: the server ends its half first.
	port = int(fakenet.FreePort(t))
	got := make(chan string, 1)
	mount(t, dir, port, func(conn *net.UnixConn) {
		fmt.Fprint(conn, "hello")
		_ = conn.CloseWrite()
		rest, _ := io.ReadAll(conn)
		got <- string(rest)
	})
	conn = dial(t, port)
	if greeting, err := io.ReadAll(conn); err != nil || string(greeting) != "hello" {
		t.Errorf("%q, %v", greeting, err)
	}
	fmt.Fprint(conn, "bye")
	conn.Close()
	if rest := <-got; rest != "bye" {
		t.Errorf("the server got %q", rest)
	}
}

// stream writes size bytes that repeat only after a megabyte, and returns their hash.
func stream(w io.Writer, block []byte, size int) (hash.Hash, error) {
	sum := sha256.New()
	to := io.MultiWriter(w, sum)
	for written := 0; written < size; written += len(block) {
		if _, err := to.Write(block); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

func TestServeCarries100MBBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	const size = 100 << 20
	dir := t.TempDir()
	port := int(fakenet.FreePort(t))
	serving(t, dir, maxConns)
	block := make([]byte, 1<<20-13)
	_, _ = rand.Read(block)
	type ends struct{ sent, got []byte }
	far := make(chan ends, 1)
	exchange := func(conn interface {
		io.ReadWriter
		CloseWrite() error
	},
	) (result ends) {
		var both sync.WaitGroup
		both.Go(func() {
			if sum, err := stream(conn, block, size); err == nil {
				result.sent = sum.Sum(nil)
			}
			_ = conn.CloseWrite()
		})
		sum := sha256.New()
		_, _ = io.Copy(sum, conn)
		both.Wait()
		result.got = sum.Sum(nil)
		return result
	}
	mount(t, dir, port, func(conn *net.UnixConn) { far <- exchange(conn) })
	near := exchange(dial(t, port))
	other := <-far
	if near.sent == nil || !bytes.Equal(near.sent, other.got) || !bytes.Equal(other.sent, near.got) {
		t.Errorf("near %x, far %x", near, other)
	}
}

func TestServeRetriesATakenPort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	squatter, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	port := squatter.Addr().(*net.TCPAddr).Port
	mount(t, dir, port, func(conn *net.UnixConn) { fmt.Fprint(conn, "from the host") })
	logged := serving(t, dir, maxConns)
	want := fmt.Sprintf("forwarding port %d: listen tcp4 127.0.0.1:%d: bind: address already in use (trying again)\n", port, port)
	eventually.True(t, "the complaint", func() bool { return logged.String() == want })
	squatter.Close()
	eventually.True(t, "the port is ours", func() bool {
		conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		defer conn.Close()
		text, _ := io.ReadAll(conn)
		return string(text) == "from the host"
	})
	if want += fmt.Sprintf("forwarding 127.0.0.1:%d\n", port); logged.String() != want {
		t.Errorf("log: %q\nwant %q: one complaint, though it tried often", logged.String(), want)
	}
}

func TestServeLimitsConnections(t *testing.T) {
	t.Parallel()
	const limit = 2
	dir := t.TempDir()
	port := int(fakenet.FreePort(t))
	serving(t, dir, limit)
	opened := make(chan struct{}, limit+1)
	mount(t, dir, port, func(conn *net.UnixConn) {
		opened <- struct{}{}
		echo(conn)
	})
	conns := make([]*net.TCPConn, 0, limit+1)
	for range limit + 1 {
		conns = append(conns, dial(t, port)) // the kernel's queue takes the last one
	}
	for range limit {
		<-opened
	}
	select {
	case <-opened:
		t.Error("one connection too many reached the host")
	case <-time.After(50 * time.Millisecond):
	}
	conns[0].Close()
	<-opened // the waiting one gets its turn
}

func TestServeResetsWhenTheHostIsGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port := int(fakenet.FreePort(t))
	// Nobody ever listens: a process that another test forks would hold a listener that was
	// closed here until its exec.
	gone, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(gone)
	if err := unix.Bind(gone, &unix.SockaddrUnix{Name: filepath.Join(dir, strconv.Itoa(port)+".sock")}); err != nil {
		t.Fatal(err)
	}
	logged := serving(t, dir, maxConns)
	conn := dial(t, port)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("Read = %v, want a reset", err)
	}
	want := fmt.Sprintf("forwarding to %d.sock: dialing: dial unix %s/%d.sock: connect: connection refused\n", port, dir, port)
	eventually.True(t, "the log line", func() bool { return strings.HasSuffix(logged.String(), want) })
}

// As a process: it idles as the machine's workload, and SIGTERM ends it in spite of
// open connections.
func TestServeEndsOnSIGTERM(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port := int(fakenet.FreePort(t))
	mount(t, dir, port, echo)
	process, err := execx.Start(t.Context(), execx.Cmd{Path: self(t), Args: []string{"serve"}, Env: []string{dirVariable + "=" + dir}})
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, port)
	fmt.Fprint(conn, "x")
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(); err != nil {
		t.Error(err)
	}
}

func TestNamesThatCount(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]uint16{
		"9440.sock": 9440, "1.sock": 1, "65535.sock": 65535,
		"65536.sock": 0, "0.sock": 0, "09440.sock": 0, "+1.sock": 0, "-1.sock": 0, ".sock": 0, "9440": 0, "9440.sock.sock": 0, "0x10.sock": 0, "1_0.sock": 0,
	} {
		if got, ok := socketPort(name); ok != (want > 0) || ok && got != want {
			t.Errorf("socketPort(%q) = %d, %v, want %d", name, got, ok, want)
		}
	}
	for name, want := range map[string]bool{
		"/proc/1/fd/0": true, "/proc/4194304/fd/0": true,
		"/proc/self/fd/0": false, "/proc/01/fd/0": false, "/proc/0/fd/0": false, "/proc/1/fd/00": false, "/proc//fd/0": false,
		"/proc/1/../../dev/sda/fd/0": false, "x/proc/1/fd/0": false, "/proc/1/fd/0\n": false, "1": false,
	} {
		if got := isSessionPath(name); got != want {
			t.Errorf("isSessionPath(%q) = %v", name, got)
		}
	}
}
