//go:build integration

package chain

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"bottle.internal/internal/link"
	"bottle.internal/pkg/bundle"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/fakenet"
)

const (
	portFirewall  = 8888
	portGit       = 9420
	portSupervise = 9100
)

// dial reaches a daemon as the relay would.
func (b *bottle) dial(ctx context.Context, port uint16) (net.Conn, error) {
	return link.DialGate(ctx, b.sidecar.Gate(), b.key, port)
}

// web is a client of the agent: its only way out is the firewall, and it believes the
// bottle's authority alone.
func (b *bottle) web(t *testing.T, http2 bool) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b.authority.CertPEM())
	transport := &http.Transport{
		Proxy:             http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:8888"}),
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return b.dial(ctx, portFirewall) },
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2: http2,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// answer is what came back; status 0 means that nothing did.
type answer struct {
	status int
	proto  string
	text   string
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, strings.TrimSpace(a.text)) }

// get asks with the agent's own idea of a credential.
func (b *bottle) get(c *http.Client, method, target string, body io.Reader) answer {
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return answer{text: err.Error()}
	}
	request.Header.Set("Authorization", "Bearer of-the-agent")
	request.Header.Set("Accept", "application/json")
	response, err := c.Do(request)
	if err != nil {
		return answer{text: err.Error()}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{text: err.Error()}
	}
	return answer{response.StatusCode, response.Proto, string(text)}
}

// once asks on a connection of its own.
func (b *bottle) once(t *testing.T, target string) answer {
	t.Helper()
	c := b.web(t, false)
	defer c.CloseIdleConnections()
	return b.get(c, http.MethodGet, target, nil)
}

// echoed is what the echo says of a request, in its answer and in its log.
type echoed struct {
	Event      string   `json:"event"`
	ServerName string   `json:"server_name"`
	Credential string   `json:"credential"`
	Headers    []string `json:"headers"`
	Path       string   `json:"path"`
}

func (a answer) echoed(t *testing.T) echoed {
	t.Helper()
	var e echoed
	if err := json.Unmarshal([]byte(a.text), &e); err != nil {
		t.Fatalf("%v: %s", err, a)
	}
	return e
}

// requests counts what arrived at one of the echo's names so far. Its log comes in order,
// so one more request says when it is complete.
func (b *bottle) requests(t *testing.T, name string) int {
	t.Helper()
	marker := "/v1/marker-" + rand.Text()
	if got := b.once(t, api+marker); got.status != http.StatusOK {
		t.Fatalf("a request to count with: %s", got)
	}
	eventually.Fine(t, eventually.Patience, func() string {
		if strings.Contains(b.echoLog.String(), marker) {
			return ""
		}
		return "the echo does not log " + marker
	})
	count := 0
	for line := range strings.Lines(b.echoLog.String()) {
		var e echoed
		if json.Unmarshal([]byte(line), &e) == nil && e.Event == "request" && e.ServerName == name && !strings.HasPrefix(e.Path, "/v1/marker-") {
			count++
		}
	}
	return count
}

// health asks a daemon through the gate.
func (b *bottle) health(port uint16) answer {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return b.dial(ctx, port) },
	}
	return b.get(&http.Client{Transport: transport}, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/health", port), nil)
}

// forward is a port of the host that leads to a daemon, for programs that dial themselves.
func (b *bottle) forward(t *testing.T, port uint16) (address string) {
	t.Helper()
	listener := fakenet.Listen(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	fakenet.Serve(t, listener, func(conn net.Conn) {
		behind, err := link.DialGate(ctx, b.sidecar.Gate(), b.key, port)
		if err == nil {
			_ = link.Splice(ctx, conn.(*net.TCPConn), behind, &link.Counters{})
		}
	})
	t.Cleanup(cancel) // before it is waited for them
	return listener.Addr().String()
}

// exec runs a program in a container as a user and returns both of its outputs.
func (b *bottle) exec(t *testing.T, container, user string, command ...string) string {
	t.Helper()
	created, err := b.engine.ExecCreate(t.Context(), container, client.ExecCreateOptions{
		AttachStdout: true, AttachStderr: true, User: user, Cmd: command,
	})
	if err != nil {
		t.Fatal(err)
	}
	attached, err := b.engine.ExecAttach(t.Context(), created.ID, client.ExecAttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer attached.Close()
	var said bytes.Buffer
	if _, err := stdcopy.StdCopy(&said, &said, attached.Reader); err != nil {
		t.Fatal(err)
	}
	return said.String()
}

// beside runs the stranger in a container of the bundle's network, and returns what it
// says. One that serves goes on until the test ends.
func (b *bottle) beside(t *testing.T, aliases []string, files map[string][]byte, args ...string) *journal {
	t.Helper()
	ctx := t.Context()
	name := bundle.KindNetwork.Name(b.plan.Identity)
	created, err := b.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
		Config: &container.Config{
			Image: shared.watched, Entrypoint: append([]string{strangerPath}, args...), AttachStdout: true, AttachStderr: true,
			Labels: map[string]string{bundle.LabelOwner: owner},
		},
		HostConfig:       &container.HostConfig{NetworkMode: container.NetworkMode(name)},
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{name: {Aliases: aliases}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	remove := sync.OnceFunc(func() {
		_, err := b.engine.ContainerRemove(context.WithoutCancel(ctx), created.ID, client.ContainerRemoveOptions{Force: true})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(remove)
	if len(files) > 0 {
		if err := copyTo(ctx, b.engine, created.ID, files); err != nil {
			t.Fatal(err)
		}
	}
	attached, err := b.engine.ContainerAttach(ctx, created.ID, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	said, ended := &journal{}, make(chan struct{})
	go func() { defer close(ended); _, _ = stdcopy.StdCopy(said, said, attached.Reader) }()
	t.Cleanup(func() { remove(); attached.Close(); <-ended })
	if _, err := b.engine.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	if args[0] != "serve" && args[0] != "wait" {
		<-ended
	}
	return said
}

// upstream adds the container that the route to up leads to.
func (b *bottle) upstream(t *testing.T) *journal {
	t.Helper()
	leaf, err := b.upCA.Leaf("up.bottle.test")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"/up/cert.pem": leaf.CertPEM, "/up/key.pem": []byte(leaf.KeyPEM.Reveal())}
	said := b.beside(t, []string{"up.bottle.test"}, files, "serve", "/up/cert.pem", "/up/key.pem")
	eventually.Fine(t, eventually.Patience, func() string {
		if strings.Contains(said.String(), "ready") {
			return ""
		}
		return "the upstream says " + said.String()
	})
	return said
}
