package pipelock_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/ca"
	"bottle.internal/internal/control"
	"bottle.internal/internal/firewall"
	"bottle.internal/internal/firewall/pipelock"
	"bottle.internal/internal/firewall/requestscan"
	"bottle.internal/internal/secret"
	"bottle.internal/tests/fakenet"
	"bottle.internal/tests/logtest"
	"bottle.internal/tests/shortdir"
)

// secrets is compiled once for all tests.
var secrets requestscan.Scanner

type channel struct {
	first control.Inputs
	later chan control.Inputs
}

func (c channel) FirstInputs(context.Context) (control.Inputs, error) { return c.first, nil }
func (c channel) Inputs() <-chan control.Inputs                       { return c.later }

type entry = logtest.Entry

// world is a gate, a pipelock and an egress.
type world struct {
	t         *testing.T
	dir       string
	daemon    pipelock.Daemon
	channel   channel
	log       logtest.Buffer
	binary    string
	authority *ca.Authority
	ended     chan error
	cancel    context.CancelFunc
}

func newWorld(t *testing.T, binary string, p firewall.Policy) *world {
	t.Helper()
	dir := shortdir.New(t)
	w := &world{
		t: t, dir: dir, binary: binary, authority: fakenet.Authority(t), ended: make(chan error, 1),
		daemon: pipelock.Daemon{
			Gate: fakenet.FreeAddr(t), Listen: fakenet.FreeAddr(t), Dir: dir, Hosts: filepath.Join(dir, "hosts"), Secrets: &secrets,
		},
	}
	w.write("hosts", "127.0.0.1 localhost\n127.0.0.2 llm.test other.test\n127.0.0.2 twice.test\n10.0.0.1 Twice.Test.\n127.0.0.2 mapped.test # plain\n")
	w.channel = channel{first: w.inputs(p), later: make(chan control.Inputs)}
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(name string) string {
	data, _ := os.ReadFile(filepath.Join(w.dir, name))
	return string(data)
}

// inputs is what the host sends; pipelock's metrics get a port of this test's own.
func (w *world) inputs(p firewall.Policy) control.Inputs {
	w.t.Helper()
	files, err := firewall.Render(p)
	if err != nil {
		w.t.Fatal(err)
	}
	inputs := control.Inputs{pipelock.EngineFile: secret.New(engineText(w.t, w.binary))}
	for _, file := range files {
		inputs[file.Name] = secret.New(string(file.Data))
	}
	return inputs
}

func engineText(t *testing.T, binary string) string {
	t.Helper()
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return fmt.Sprintf(`{"binary":%q,"sha256":%q}`, binary, hex.EncodeToString(sum[:]))
}

// start runs the daemon up to its first word.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	w.cancel = cancel
	go func() { w.ended <- w.daemon.Run(ctx, w.channel, &w.log) }()
	stopped := false
	w.t.Cleanup(func() {
		cancel()
		if !stopped {
			<-w.ended
		}
	})
	for {
		grown := w.log.Grown()
		if strings.Contains(w.log.String(), `"ready"`) {
			return
		}
		select {
		case <-grown:
		case err := <-w.ended:
			stopped = true
			w.t.Fatalf("ended before it was ready: %v\n%s", err, w.log.String())
		}
	}
}

func (w *world) await(want func(entry) bool) entry {
	w.t.Helper()
	return w.log.Await(w.t, "", want)
}

func (w *world) raw(text string) net.Conn {
	w.t.Helper()
	return fakenet.Send(w.t, w.daemon.Gate, text)
}

func (w *world) ask(text string) (status int, reason, body string) {
	w.t.Helper()
	return fakenet.Ask(w.t, w.daemon.Gate, text)
}

// secure opens a tunnel and TLS in it.
func (w *world) secure(target, name string) (*tls.Conn, error) {
	w.t.Helper()
	conn := w.raw(connectTo(target))
	want := "HTTP/1.1 200 Connection established\r\n\r\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		rest, _ := io.ReadAll(conn)
		return nil, fmt.Errorf("%s%s, %w", got, rest, err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.authority.CertPEM())
	client := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: name})
	return client, client.HandshakeContext(w.t.Context())
}

// egress answers TLS as host on 127.0.0.2 and says everything twice.
func (w *world) egress(host string) (port uint16) {
	w.t.Helper()
	leaf, err := w.authority.Leaf(host)
	if err != nil {
		w.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		w.t.Fatal(err)
	}
	fakenet.Serve(w.t, listener, func(conn net.Conn) {
		server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{leaf.TLS}})
		_, _ = io.Copy(server, server)
	})
	return netip.MustParseAddrPort(listener.Addr().String()).Port()
}

func connectTo(target string) string {
	return fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target)
}

func routed(host string, port uint16) firewall.Host {
	return firewall.Host{Host: host, Port: port, Scheme: firewall.HTTPS, Mode: firewall.Routed}
}

func plain(host string, port uint16, scheme firewall.Scheme) firewall.Host {
	return firewall.Host{Host: host, Port: port, Scheme: scheme, Mode: firewall.Plain}
}
