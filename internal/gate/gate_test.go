package gate

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"bottle.internal/internal/control"
	"bottle.internal/internal/link"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/fakenet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// channel hands out inputs as init does.
type channel chan control.Inputs

func (c channel) Inputs() <-chan control.Inputs { return c }

func (c channel) FirstInputs(context.Context) (control.Inputs, error) { return <-c, nil }

func TestGate(t *testing.T) {
	t.Parallel()
	daemon := fakenet.Listen(t)
	fakenet.Serve(t, daemon, func(conn net.Conn) { _, _ = io.WriteString(conn, "hello") })
	port := uint16(daemon.Addr().(*net.TCPAddr).Port)
	address := fakenet.FreeAddr(t)

	first, second := newKey(t), newKey(t)
	inputs := make(channel, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, inputs, address) }()
	inputs <- with(t, first, port)

	var dialer net.Dialer
	eventually.True(t, "it listens", func() bool {
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	for _, test := range []struct {
		who  string
		key  link.Key
		port uint16
		want string
	}{
		{"the key's holder", first, port, "hello"},
		{"another key", second, port, ""},
		{"a port that is not offered", first, port + 1, ""},
	} {
		if got := through(t, address, test.key, test.port); got != test.want {
			t.Errorf("%s gets %q, want %q", test.who, got, test.want)
		}
	}
	// Without the handshake: one nonce that is no use, and no byte of the daemon.
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"+strings.Repeat("x", 100))
	if said, _ := io.ReadAll(conn); strings.Contains(string(said), "hello") {
		t.Errorf("a browser gets %q", said)
	}

	inputs <- with(t, second, port)
	eventually.True(t, "the second key opens it", func() bool { return through(t, address, second, port) == "hello" })
	if got := through(t, address, first, port); got != "" {
		t.Errorf("the old key gets %q", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What it does not understand shuts the gate.
func TestGateFailsClosed(t *testing.T) {
	t.Parallel()
	good := with(t, newKey(t), 8888)
	for name, test := range map[string]struct {
		inputs []control.Inputs
		want   string
	}{
		"no key":       {[]control.Inputs{{}}, "a link key has 32 bytes, not 0"},
		"odd ports":    {[]control.Inputs{{inputKey: good[inputKey], inputPorts: secret.New("[70000]")}}, "reading ports.json: json: cannot unmarshal number 70000 into Go value of type uint16"},
		"a later one":  {[]control.Inputs{good, {}}, "a link key has 32 bytes, not 0"},
		"init is gone": {[]control.Inputs{good, nil}, "init is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inputs := make(channel, 2)
			for _, in := range test.inputs {
				if in == nil {
					close(inputs)
					break
				}
				inputs <- in
			}
			if err := Run(t.Context(), inputs, "127.0.0.1:0"); fmt.Sprint(err) != test.want {
				t.Errorf("Run = %v, want %s", err, test.want)
			}
		})
	}
}

func newKey(t *testing.T) link.Key {
	t.Helper()
	key, err := link.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func with(t *testing.T, key link.Key, ports ...uint16) control.Inputs {
	t.Helper()
	inputs, err := Inputs(key, ports)
	if err != nil {
		t.Fatal(err)
	}
	return inputs
}

func through(t *testing.T, address string, key link.Key, port uint16) string {
	t.Helper()
	conn, err := link.DialGate(t.Context(), address, key, port)
	if err != nil {
		return ""
	}
	defer conn.Close()
	said, _ := io.ReadAll(conn)
	return string(said)
}
