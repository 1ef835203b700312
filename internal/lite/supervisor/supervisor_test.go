//go:build linux

package supervisor

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"bottle.internal/internal/lite/store"
	"bottle.internal/internal/lite/wire"
	"bottle.internal/tests/fakenet"
)

// What a supervisor does with a willing guest is tested through the command line, see
// package cli. Here the guest is hostile.

// guestOf gives a supervisor a guest that the test plays.
func guestOf(t *testing.T, sockets ...store.Socket) (*supervisor, *yamux.Session, net.Conn) {
	t.Helper()
	ours, file, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	host, err := yamux.Client(wire.Guard(ours), wire.MuxConfig())
	if err != nil {
		t.Fatal(err)
	}
	s := &supervisor{config: Config{Sockets: sockets}, vm: &machine{session: host, exited: make(chan struct{})}}
	s.stopping, s.stop = context.WithCancel(t.Context())
	s.wait.Go(s.acceptStreams)
	guest, err := yamux.Server(theirs, wire.MuxConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		_, _ = guest.Close(), host.Close()
		s.wait.Wait()
	})
	return s, guest, theirs
}

// echo is a host service.
func echo(t *testing.T) store.Socket {
	t.Helper()
	path := filepath.Join(t.TempDir(), "echo.sock")
	listener, err := store.ListenUnix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	fakenet.Serve(t, listener, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	return store.Socket{Host: path, Guest: "/s"}
}

func TestStreamsReachOnlyTheTable(t *testing.T) {
	t.Parallel()
	_, guest, _ := guestOf(t, echo(t))
	for header, want := range map[string]string{
		"\x00\x00": "\x00\x00\x00\x02hi\x00\x00\x00\x00",
		"\x00\x01": "", // one beyond the table
		"\xff\xff": "",
	} {
		stream, err := guest.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write([]byte(header + "\x00\x00\x00\x02hi\x00\x00\x00\x00")); err != nil {
			t.Fatal(err)
		}
		_ = stream.SetReadDeadline(time.Now().Add(10 * time.Second))
		if got, err := io.ReadAll(stream); string(got) != want || err != nil {
			t.Errorf("header %q: %q, %v; want %q", header, got, err, want)
		}
		_ = stream.Close()
	}
}

func TestStreamLimit(t *testing.T) {
	t.Parallel()
	_, guest, _ := guestOf(t, echo(t))
	open := func() net.Conn {
		stream, err := guest.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write(wire.SocketHeader(0)); err != nil {
			t.Fatal(err)
		}
		return stream
	}
	for range wire.MaxStreams {
		open()
	}
	extra := open()
	_ = extra.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := extra.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("stream %d: %d bytes, %v; want its end", wire.MaxStreams+1, n, err)
	}
}

func TestStreamFloodEndsTheMachine(t *testing.T) {
	t.Parallel()
	s, guest, _ := guestOf(t)
	for range 2 * maxMuxStreams {
		if _, err := guest.OpenStream(); err != nil {
			break
		}
	}
	select {
	case <-s.vm.session.CloseChan():
	case <-time.After(20 * time.Second):
		t.Error("the flood goes on")
	}
}

func TestPingsEndTheMachine(t *testing.T) {
	t.Parallel()
	s, _, raw := guestOf(t)
	if _, err := raw.Write([]byte("\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.vm.session.CloseChan():
	case <-time.After(20 * time.Second):
		t.Error("the guest may ping")
	}
}

func TestConsoleRing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "console.log")
	r, err := newRing(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		chunk := bytes.Repeat([]byte{byte('0' + i)}, 1<<20)
		if n, err := r.Write(chunk); n != len(chunk) || err != nil {
			t.Fatal(n, err)
		}
	}
	_, _ = r.Write([]byte("the end"))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path + ".1")
	if err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(old)+len(now) > ringSize || !strings.HasSuffix(string(old)+string(now), "99the end") {
		t.Errorf("%d + %d bytes, limit %d", len(old), len(now), ringSize)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 2 {
		t.Errorf("%d files", len(entries))
	}
}

func TestConsoleSummaryIsQuoted(t *testing.T) {
	t.Parallel()
	r := &ring{path: "/x/console.log"}
	var err error
	if r.file, err = os.Create(filepath.Join(t.TempDir(), "c")); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	_, _ = r.Write([]byte("1\n2\n3\n4\n5\n6\n7\n8\n\x1b[31mred\x07 \xff \r\n"))
	want := "  console log: /x/console.log\n  | 2\n  | 3\n  | 4\n  | 5\n  | 6\n  | 7\n  | 8\n  | \\x1b[31mred\\a \\xff"
	if got := r.summary(); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}
