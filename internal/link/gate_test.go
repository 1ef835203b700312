package link

import (
	"io"
	"strings"
	"testing"

	"bottle.internal/tests/eventually"
)

func TestStrangersGetNothing(t *testing.T) {
	t.Parallel()
	key, port := testKey(t), echoDaemon(t)
	gate, addr := startGate(t, key, port)
	browser := "GET / HTTP/1.1\r\nHost: " + addr + "\r\nOrigin: http://rebind.test\r\nSec-Fetch-Mode: cors\r\n\r\n"
	for name, said := range map[string]string{
		"http":             "GET / HTTP/1.0\r\n\r\n",
		"browser":          browser,
		"proxy":            "CONNECT api.example.test:443 HTTP/1.1\r\n\r\n",
		"tls":              "\x16\x03\x01\x02\x00" + strings.Repeat("x", 512),
		"nothing":          "",
		"half a magic":     "BT",
		"magic, no nonce":  "BTL1",
		"h2 preface":       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"long then silent": strings.Repeat("A", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ask(dial(t, "tcp", addr), said)
			if got != "" {
				t.Errorf("a stranger got %q, %v", got, err)
			}
		})
	}
	t.Run("magic and a guess", func(t *testing.T) {
		t.Parallel()
		got, _ := ask(dial(t, "tcp", addr), "BTL1"+strings.Repeat("n", 32)+strings.Repeat("g", 34)+"data")
		if len(got) > 64 { // a reset may swallow the gate's proof
			t.Errorf("got %d bytes, want the gate's proof at most", len(got))
		}
	})
	t.Cleanup(func() {
		eventually.True(t, "all ten are counted", func() bool { return gate.Stats().Refused == 10 })
		if stats := gate.Stats(); stats.Admitted != 0 {
			t.Errorf("stats %+v", stats)
		}
	})
}

// With every pending place taken by silent strangers, an honest client still gets in.
func TestSlowlorisDoesNotShutTheGate(t *testing.T) {
	t.Parallel()
	key, port := testKey(t), echoDaemon(t)
	gate, addr := startGate(t, key, port)
	for i := range 3 * MaxPending {
		conn := dial(t, "tcp", addr)
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "B")
		}
	}
	eventually.True(t, "every place is taken", func() bool {
		gate.mu.Lock()
		defer gate.mu.Unlock()
		return len(gate.pending) == MaxPending
	})
	// Strangers have 2 s for their handshake, and so has this client for its own.
	conn, err := DialGate(t.Context(), addr, key, port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := ask(conn, "hello"); got != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
