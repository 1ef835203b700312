package wire_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"bottle.internal/internal/lite/wire"
)

// unixPair is two connected sockets.
func unixPair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	dialed, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialed.Close(); _ = accepted.Close() })
	return dialed.(*net.UnixConn), accepted.(*net.UnixConn)
}

// bridged joins two sockets by two bridges back to back, as guest and host do.
func bridged(t *testing.T) (client, server *net.UnixConn, stream net.Conn) {
	t.Helper()
	client, near := unixPair(t)
	far, server := unixPair(t)
	guest, host := unixPair(t)
	done := make(chan struct{}, 2)
	go func() { wire.Bridge(guest, near); done <- struct{}{} }()
	go func() { wire.Bridge(host, far); done <- struct{}{} }()
	t.Cleanup(func() {
		_, _ = client.Close(), server.Close()
		<-done
		<-done
	})
	return client, server, guest
}

func TestBridgeKeepsHalfClose(t *testing.T) {
	t.Parallel()
	client, server, _ := bridged(t)
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	go func() {
		_, _ = client.Write(data)
		_ = client.CloseWrite()
	}()
	got, err := io.ReadAll(server)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	// The other direction is still open.
	go func() {
		_, _ = server.Write(data)
		_ = server.Close()
	}()
	if got, err = io.ReadAll(client); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes came back, %v", len(got), err)
	}
}

func TestBridgeDeliversAnAnswerThatComesTooEarly(t *testing.T) {
	t.Parallel()
	client, server, _ := bridged(t)
	if _, err := server.Write([]byte("no, thanks")); err != nil {
		t.Fatal(err)
	}
	_ = server.Close() // without reading the request
	_, _ = client.Write(bytes.Repeat([]byte("x"), 1<<20))
	_ = client.CloseWrite()
	if got, err := io.ReadAll(client); err != nil || string(got) != "no, thanks" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestBridgeAborts: a stream that breaks is no end of the data.
func TestBridgeAborts(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]string{
		"end without the mark":   "\x00\x00\x00\x02ab",
		"end within a chunk":     "\x00\x00\x00\x09ab",
		"end within a length":    "\x00\x00",
		"chunk beyond the limit": "\x7f\xff\xff\xff" + strings.Repeat("x", 100),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, near := unixPair(t)
			guest, attacker := unixPair(t)
			done := make(chan struct{})
			go func() { wire.Bridge(guest, near); close(done) }()
			if _, err := attacker.Write([]byte(input)); err != nil {
				t.Fatal(err)
			}
			_ = attacker.CloseWrite()
			<-done // and nothing waits for the client, who never closes
			if _, err := client.Write([]byte("x")); err == nil {
				t.Error("the connection is still open")
			}
		})
	}
}

func TestSocketHeader(t *testing.T) {
	t.Parallel()
	if index, err := wire.ReadSocketHeader(bytes.NewReader(wire.SocketHeader(2)), 3); index != 2 || err != nil {
		t.Errorf("index %d, %v", index, err)
	}
	for input, want := range map[string]string{
		"":         "reading a socket header: unexpected EOF",
		"\x00":     "reading a socket header: unexpected EOF",
		"\x00\x03": "protocol violation: socket 3 of 3",
		"\xff\xff": "protocol violation: socket 65535 of 3",
	} {
		if _, err := wire.ReadSocketHeader(strings.NewReader(input), 3); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", input, err, want)
		}
	}
}

// stream is what the fuzzer sends as a guest.
type stream struct{ io.Reader }

func (stream) Write(p []byte) (int, error) { return len(p), nil }
func (stream) Close() error                { return nil }

func FuzzBridge(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02ab\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ours, theirs := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, theirs); _ = theirs.Close() }()
		wire.Bridge(stream{bytes.NewReader(data)}, pipe{ours})
	})
}

// pipe ends wholly where a socket would half-close.
type pipe struct{ net.Conn }

func (p pipe) CloseWrite() error { return p.Close() }

// guardInput is a guest's side of the multiplexer.
type guardInput struct {
	net.Conn
	r      io.Reader
	closed bool
}

func (g *guardInput) Read(p []byte) (int, error) { return g.r.Read(p) }
func (g *guardInput) Close() error               { g.closed = true; return nil }

func muxFrame(kind, flags byte, length string, payload string) string {
	return "\x00" + string(kind) + "\x00" + string(flags) + "\x00\x00\x00\x02" + length + payload
}

func TestGuard(t *testing.T) {
	t.Parallel()
	good := muxFrame(1, 1, "\x00\x00\x00\x00", "") + muxFrame(0, 0, "\x00\x00\x00\x05", "hello") + muxFrame(2, 2, "\x00\x00\x00\x01", "")
	for _, reader := range []io.Reader{strings.NewReader(good), iotest.OneByteReader(strings.NewReader(good))} {
		if got, err := io.ReadAll(wire.Guard(&guardInput{r: reader})); string(got) != good || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	for name, test := range map[string]struct{ input, want string }{
		"ping":     {muxFrame(2, 1, "\x00\x00\x00\x01", ""), "protocol violation: the guest pings"},
		"type":     {muxFrame(4, 0, "\x00\x00\x00\x00", ""), "protocol violation: multiplexer frame type 4"},
		"version":  {"\x01" + muxFrame(0, 0, "\x00\x00\x00\x00", "")[1:], "protocol violation: multiplexer version 1"},
		"length":   {muxFrame(0, 0, "\x00\x04\x00\x01", ""), "protocol violation: multiplexer frame of 262145 bytes"},
		"after ok": {good + muxFrame(2, 1, "\x00\x00\x00\x01", ""), "protocol violation: the guest pings"},
	} {
		conn := &guardInput{r: strings.NewReader(test.input)}
		_, err := io.ReadAll(wire.Guard(conn))
		if err == nil || err.Error() != test.want || !errors.Is(err, wire.ErrProtocol) || !conn.closed {
			t.Errorf("%s: %v, closed %v", name, err, conn.closed)
		}
	}
}
