package boundedlisten_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"

	"bottle.internal/internal/boundedlisten"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted gives one connection after another and then ends.
type scripted struct {
	net.Listener
	conns []net.Conn
}

func (s *scripted) Accept() (net.Conn, error) {
	if len(s.conns) == 0 {
		return nil, net.ErrClosed
	}
	conn := s.conns[0]
	s.conns = s.conns[1:]
	return conn, nil
}

// dial adds a connection that waits to be accepted, and returns the far end.
func (s *scripted) dial() net.Conn {
	far, near := net.Pipe()
	s.conns = append(s.conns, near)
	return far
}

func accept(t *testing.T, listener net.Listener) net.Conn {
	t.Helper()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Who finds no slot is answered, or only closed, and the next one is looked at.
func TestTurnsAway(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"", "too many\n"} {
		inner := &scripted{}
		l := &boundedlisten.Listener{Listener: inner, Slots: make(chan struct{}, 1), Answer: answer}
		inner.dial()
		held := accept(t, l)
		away := inner.dial()
		said := make(chan string)
		go func() {
			data, _ := io.ReadAll(away)
			said <- string(data)
		}()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a second connection was let in: %v", err)
		}
		if got := <-said; got != answer {
			t.Errorf("it was told %q, want %q", got, answer)
		}
		_ = held.Close()
	}
}

// A slot comes back once, however often its connection is closed.
func TestSlotComesBackOnce(t *testing.T) {
	t.Parallel()
	inner := &scripted{}
	l := &boundedlisten.Listener{Listener: inner, Slots: make(chan struct{}, 2)}
	inner.dial()
	inner.dial()
	first, second := accept(t, l), accept(t, l)
	_ = first.Close()
	_ = first.Close()
	if n := len(l.Slots); n != 1 {
		t.Errorf("%d slots are taken, want 1", n)
	}
	inner.dial()
	third := accept(t, l)
	_, _ = second.Close(), third.Close()
	if n := len(l.Slots); n != 0 {
		t.Errorf("%d slots are taken, want 0", n)
	}
}

// Listeners that share the slots are bounded together.
func TestSharedSlots(t *testing.T) {
	t.Parallel()
	slots := make(chan struct{}, 1)
	one, other := &scripted{}, &scripted{}
	one.dial()
	held := accept(t, &boundedlisten.Listener{Listener: one, Slots: slots})
	other.dial()
	if _, err := (&boundedlisten.Listener{Listener: other, Slots: slots}).Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the other listener let one in: %v", err)
	}
	_ = held.Close()
}

// A connection over TCP is half-closed and can still be read; a pipe is closed.
func TestCloseWrite(t *testing.T) {
	t.Parallel()
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &boundedlisten.Listener{Listener: inner, Slots: make(chan struct{}, 1)}
	defer func() { _ = l.Close() }()
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	conn := accept(t, l)
	defer func() { _ = conn.Close() }()
	if err := boundedlisten.CloseWrite(conn); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(client); err != nil || len(data) > 0 {
		t.Errorf("read %q, %v", data, err)
	}
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Errorf("the other direction ended too: %v", err)
	}

	far, near := net.Pipe()
	if err := boundedlisten.CloseWrite(near); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the pipe is open: %v", err)
	}
}
