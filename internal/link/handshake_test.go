package link

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"bottle.internal/tests/fakenet"
)

func sum(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(slices.Concat(parts...))
	return mac.Sum(nil)
}

// tcpPair gives two ends of one real connection: net.Pipe has no buffers.
func tcpPair(t testing.TB) (a, b Conn) {
	t.Helper()
	listener := fakenet.Listen(t)
	a = dial(t, "tcp", listener.Addr().String())
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return a, conn.(Conn)
}

func TestHandshakeOnTheWire(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	near, far := tcpPair(t)
	done := make(chan error, 1)
	go func() { done <- Hello(near, key, 8888) }()

	hello := make([]byte, 36)
	if _, err := io.ReadFull(far, hello); err != nil || string(hello[:4]) != "BTL1" {
		t.Fatalf("the client says %q, %v", hello, err)
	}
	nonceC, nonceS := hello[4:], bytes.Repeat([]byte{7}, 32)
	if _, err := far.Write(append(slices.Clone(nonceS), sum(key.Reveal(), []byte("bottle gate"), nonceC, nonceS)...)); err != nil {
		t.Fatal(err)
	}
	proof := make([]byte, 34)
	if _, err := io.ReadFull(far, proof); err != nil {
		t.Fatal(err)
	}
	port := []byte{0x22, 0xb8}
	if want := append(port, sum(key.Reveal(), []byte("bottle link"), nonceC, nonceS, port)...); !bytes.Equal(proof, want) {
		t.Errorf("the client proves %x, want %x", proof, want)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestHandshakeMeets(t *testing.T) {
	t.Parallel()
	key, other := testKey(t), testKey(t)
	for name, test := range map[string]struct {
		client, server Key
		port           uint16
		wantClient     string
		wantServer     string
	}{
		"same key":      {key, key, 8888, "<nil>", "<nil>"},
		"other key":     {other, key, 8888, "link refused: the gate has another key", "reading a client's proof: EOF"},
		"other port":    {key, key, 9420, "<nil>", "link refused: port 9420 is not offered"},
		"client has no": {Key{}, key, 8888, "no link key", "reading a greeting: EOF"},
		"server has no": {key, Key{}, 8888, "reading the gate's proof: EOF", "no link key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := tcpPair(t)
			done := make(chan error, 1)
			go func() {
				err := Hello(near, test.client, test.port)
				_ = near.CloseWrite()
				done <- err
			}()
			_, err := Admit(far, test.server, []uint16{8888})
			if fmt.Sprint(err) != test.wantServer {
				t.Errorf("Admit = %v, want %q", err, test.wantServer)
			}
			_ = far.CloseWrite()
			if err := <-done; fmt.Sprint(err) != test.wantClient {
				t.Errorf("Hello = %v, want %q", err, test.wantClient)
			}
		})
	}
}

// A port is part of the proof: whoever sits between cannot turn one into another.
func TestPortIsBound(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	near, middleNear := tcpPair(t)
	middleFar, far := tcpPair(t)
	go func() { _ = Hello(near, key, 8888) }()
	go func() {
		_, _ = io.CopyN(middleFar, middleNear, 36)
		_, _ = io.CopyN(middleNear, middleFar, 64)
		proof := make([]byte, 34)
		_, _ = io.ReadFull(middleNear, proof)
		proof[1] ^= 1
		_, _ = middleFar.Write(proof)
	}()
	_, err := Admit(far, key, []uint16{8888, 8888 ^ 1})
	if fmt.Sprint(err) != "link refused: the client has another key" {
		t.Errorf("Admit = %v", err)
	}
}

// A squatter who took a dead bundle's port learns one nonce and no more.
func TestSquatterSeesOnlyTheNonce(t *testing.T) {
	t.Parallel()
	listener := fakenet.Listen(t)
	seen := make(chan []byte, 1)
	serveEach(t, listener, func(conn Conn) {
		hello := make([]byte, 36)
		_, _ = io.ReadFull(conn, hello)
		_, _ = conn.Write(make([]byte, 64)) // a guess
		rest, _ := io.ReadAll(conn)
		seen <- append(hello, rest...)
	})
	relay := startRelay(t, RelayConfig{Port: 8888, Key: testKey(t), Gate: listener.Addr().String})
	answer, err := ask(dial(t, "unix", relay.config.Socket), "GET /secret HTTP/1.1\r\n\r\n")
	if answer != "" || err != nil {
		t.Errorf("the guest got %q, %v", answer, err)
	}
	if got := <-seen; len(got) != 36 || string(got[:4]) != "BTL1" {
		t.Errorf("the squatter saw %d bytes: %q", len(got), got)
	}
	if got := fmt.Sprint(relay.Stats().Last); got != "greeting the gate at "+listener.Addr().String()+": link refused: the gate has another key" {
		t.Errorf("Last = %s", got)
	}
}

func TestHandshakeDeadline(t *testing.T) {
	t.Parallel()
	near, far := tcpPair(t)
	begin := time.Now()
	_, errServer := Admit(far, testKey(t), nil)
	if took := time.Since(begin); took < HandshakeTimeout || took > 2*HandshakeTimeout {
		t.Errorf("a silent client was given %v", took)
	}
	if timeout := net.Error(nil); !errors.As(errServer, &timeout) || !timeout.Timeout() {
		t.Errorf("Admit = %v", errServer)
	}
	_ = near.Close()
}

// FuzzAdmit: no bytes but the proof open a gate, and a wrong greeting gets no answer.
func FuzzAdmit(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: 127.0.0.1:7070\r\nOrigin: http://evil.test\r\n\r\n"))
	f.Add([]byte("BTL1"))
	f.Add(append([]byte("BTL1"), make([]byte, 32+34)...))
	f.Add([]byte{0x16, 3, 1, 0, 200})
	key := testKey(f)
	f.Fuzz(func(t *testing.T, said []byte) {
		conn := &scripted{in: bytes.NewReader(said)}
		if port, err := Admit(conn, key, []uint16{0, 8888}); err == nil {
			t.Fatalf("%q opened port %d", said, port)
		}
		if !bytes.HasPrefix(said, []byte("BTL1")) && conn.out.Len() > 0 {
			t.Fatalf("%q was answered with %d bytes", said, conn.out.Len())
		}
	})
}

// FuzzHello: whatever a fake gate says, it gets the greeting and nothing else.
func FuzzHello(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	key := testKey(f)
	f.Fuzz(func(t *testing.T, said []byte) {
		conn := &scripted{in: bytes.NewReader(said)}
		if err := Hello(conn, key, 8888); err == nil || conn.out.Len() != 36 {
			t.Fatalf("Hello = %v, said %d bytes", err, conn.out.Len())
		}
	})
}

// scripted is a connection whose peer says a fixed text.
type scripted struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *scripted) Read(p []byte) (int, error)    { return s.in.Read(p) }
func (s *scripted) Write(p []byte) (int, error)   { return s.out.Write(p) }
func (s *scripted) SetDeadline(_ time.Time) error { return nil }
