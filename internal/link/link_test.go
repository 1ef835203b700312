package link

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/shortdir"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testKey(t testing.TB) Key {
	t.Helper()
	key, err := NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func portOf(listener net.Listener) uint16 { return uint16(listener.Addr().(*net.TCPAddr).Port) }

// serveEach runs handle for every connection and waits for all of them at the end.
func serveEach(t testing.TB, listener net.Listener, handle func(Conn)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		newSlots(1000, func() {}).accept(ctx, listener, func(_ context.Context, conn Conn) { handle(conn) })
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// echoDaemon sends back what it got after the client ended its side.
func echoDaemon(t testing.TB) uint16 {
	listener := fakenet.Listen(t)
	serveEach(t, listener, func(conn Conn) {
		all, _ := io.ReadAll(conn)
		_, _ = conn.Write(all)
		_ = conn.CloseWrite()
	})
	return portOf(listener)
}

func startGate(t testing.TB, key Key, ports ...uint16) (*Gate, string) {
	t.Helper()
	listener := fakenet.Listen(t)
	gate := NewGate()
	gate.Open(key, ports)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); gate.Serve(ctx, listener) }()
	t.Cleanup(func() { cancel(); <-done })
	return gate, listener.Addr().String()
}

func startRelay(t testing.TB, config RelayConfig) *Relay {
	t.Helper()
	if config.Socket == "" {
		config.Socket = filepath.Join(shortdir.New(t), "8888.sock")
	}
	relay, err := NewRelay(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = relay.Close() })
	return relay
}

func dial(t testing.TB, network, addr string) Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn.(Conn)
}

// ask sends text, ends its side and returns everything that came back.
func ask(conn Conn, text string) (string, error) {
	if _, err := io.WriteString(conn, text); err != nil {
		return "", err
	}
	if err := conn.CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func TestKeyPrintsNowhere(t *testing.T) {
	t.Parallel()
	raw := bytes.Repeat([]byte("K"), KeySize)
	key, err := ParseKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	holder := struct {
		Key    Key
		hidden Key
		Ptr    *Key
	}{key, key, &key}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key, "holder", holder)
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	for name, printed := range map[string]string{
		"%v": fmt.Sprintf("%v", holder), "%+v": fmt.Sprintf("%+v", holder), "%#v": fmt.Sprintf("%#v", holder),
		"%s": fmt.Sprintf("%s", key), "%x": fmt.Sprintf("%x", key), "%d": fmt.Sprintf("%d", key),
		"json": string(asJSON), "slog": log.String(), "String": key.String(),
	} {
		for _, trace := range []string{"KKK", "4b4b4b", "75 75 75", "0x4b, 0x4b", "S0tLS0t"} {
			if strings.Contains(printed, trace) {
				t.Errorf("%s prints the key: %s", name, printed)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, key); got != "[redacted]" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if !bytes.Equal(key.Reveal(), raw) {
		t.Error("Reveal does not give the key")
	}
	key.Reveal()[0] = 0
	if !bytes.Equal(key.Reveal(), raw) {
		t.Error("a caller of Reveal can change the key")
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		bytes []byte
		want  string
	}{
		{nil, "a link key has 32 bytes, not 0"},
		{make([]byte, 31), "a link key has 32 bytes, not 31"},
		{make([]byte, 32), "a link key of zeros is no key"},
		{bytes.Repeat([]byte{1}, 33), "a link key has 32 bytes, not 33"},
	} {
		if _, err := ParseKey(test.bytes); fmt.Sprint(err) != test.want {
			t.Errorf("ParseKey(%d bytes) = %v, want %q", len(test.bytes), err, test.want)
		}
	}
	if _, err := NewKey(bytes.NewReader(make([]byte, 5))); fmt.Sprint(err) != "drawing a link key: unexpected EOF" {
		t.Errorf("NewKey without randomness = %v", err)
	}
}
