package sidecar_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"bottle.internal/internal/control"
	"bottle.internal/internal/gate"
	"bottle.internal/internal/link"
	"bottle.internal/pkg/bundle"
)

// fakeEngine is an engine whose one image is a bundle: a real gate in front of an echoing
// daemon, opened by whoever speaks the control protocol.
type fakeEngine struct {
	bundle.Engine // what a test does not expect panics

	t       *testing.T
	onBoot  func(*control.Init) // instead of getting ready
	refuse  error               // of every start after the first
	serving sync.WaitGroup

	mu      sync.Mutex
	exists  map[string]bool // containers and the network
	created []client.ContainerCreateOptions
	boots   []control.Bootstrap
	news    chan any  // other messages of the host
	deaf    *deafConn // the host's end, once it is to hang
	starts  int
	streams net.Conn // of the container: the engine's end
	gate    *link.Gate
	address net.Addr           // of the gate
	stop    context.CancelFunc // ends the gate; nil while the container is down
	say     *control.Init
}

func newEngine(t *testing.T) *fakeEngine {
	t.Helper()
	e := &fakeEngine{t: t, exists: map[string]bool{}, news: make(chan any, 100)}
	t.Cleanup(func() {
		e.kill()
		e.serving.Wait()
		if len(e.exists) > 0 {
			t.Errorf("the engine still has %v", e.exists)
		}
	})
	return e
}

// kill ends the container, as a crash of it would.
func (e *fakeEngine) kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.streams != nil {
		_ = e.streams.Close()
		e.streams = nil
	}
	if e.stop != nil {
		e.stop()
		e.stop = nil
	}
}

func (e *fakeEngine) NetworkList(context.Context, client.NetworkListOptions) (r client.NetworkListResult, err error) {
	return r, nil
}

func (e *fakeEngine) NetworkCreate(context.Context, string, client.NetworkCreateOptions) (r client.NetworkCreateResult, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.ID = "network"
	e.exists[r.ID] = true
	return r, nil
}

func (e *fakeEngine) NetworkRemove(_ context.Context, id string, _ client.NetworkRemoveOptions) (r client.NetworkRemoveResult, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.exists, id)
	return r, nil
}

func (e *fakeEngine) VolumeList(context.Context, client.VolumeListOptions) (r client.VolumeListResult, err error) {
	return r, nil
}

func (e *fakeEngine) ContainerCreate(_ context.Context, o client.ContainerCreateOptions) (r client.ContainerCreateResult, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.created = append(e.created, o)
	r.ID = o.Name
	e.exists[r.ID] = true
	return r, nil
}

func (e *fakeEngine) ContainerList(context.Context, client.ContainerListOptions) (r client.ContainerListResult, err error) {
	return r, nil
}

func (e *fakeEngine) ContainerAttach(ctx context.Context, _ string, _ client.ContainerAttachOptions) (r client.ContainerAttachResult, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return r, err
	}
	defer func() { _ = listener.Close() }()
	ours, err := (&net.Dialer{}).DialContext(ctx, "tcp4", listener.Addr().String())
	if err != nil {
		return r, err
	}
	theirs, err := listener.Accept()
	if err != nil {
		e.t.Error(err)
	}
	e.mu.Lock()
	e.streams = theirs
	e.deaf = &deafConn{Conn: ours, stuck: make(chan struct{}), closed: make(chan struct{})}
	r.HijackedResponse = client.NewHijackedResponse(e.deaf, "application/vnd.docker.multiplexed-stream")
	e.mu.Unlock()
	return r, nil
}

func (e *fakeEngine) ContainerStart(ctx context.Context, _ string, _ client.ContainerStartOptions) (r client.ContainerStartResult, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.starts++
	if e.starts > 1 && e.refuse != nil {
		return r, e.refuse
	}
	if e.stop == nil { // else it runs, and only the streams are new
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
		if err != nil {
			return r, err
		}
		running, stop := context.WithCancel(context.WithoutCancel(ctx))
		gate := link.NewGate()
		e.gate, e.address, e.stop = gate, listener.Addr(), stop
		e.serving.Go(func() { gate.Serve(running, listener) })
	}
	gate, streams := e.gate, e.streams
	e.serving.Go(func() { e.play(gate, streams) })
	return r, nil
}

// play is init in the container.
func (e *fakeEngine) play(opened *link.Gate, streams net.Conn) {
	init := control.NewInit(streams, stdout{streams})
	e.mu.Lock()
	e.say = init
	e.mu.Unlock()
	for {
		message, err := init.Next()
		if err != nil {
			return
		}
		boot, ok := message.(control.Bootstrap)
		if !ok {
			e.news <- message
			continue
		}
		e.mu.Lock()
		e.boots = append(e.boots, boot)
		onBoot := e.onBoot
		e.mu.Unlock()
		if onBoot != nil {
			onBoot(init)
			continue
		}
		key, ports, err := gate.Parse(boot.Inputs["gate"])
		if err != nil {
			e.t.Error(err)
		}
		opened.Open(key, ports)
		_ = init.Ready()
	}
}

// stdout frames what the container prints as the engine does.
type stdout struct{ w io.Writer }

func (s stdout) Write(p []byte) (int, error) {
	header := binary.BigEndian.AppendUint32([]byte{1, 0, 0, 0}, uint32(len(p)))
	_, err := s.w.Write(append(header, p...))
	return len(p), err
}

func (e *fakeEngine) ContainerInspect(context.Context, string, client.ContainerInspectOptions) (r client.ContainerInspectResult, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, port, _ := net.SplitHostPort(e.address.String())
	r.Container.State = &container.State{Running: true}
	r.Container.NetworkSettings = &container.NetworkSettings{Ports: network.PortMap{
		network.MustParsePort(strconv.Itoa(bundle.DefaultGatePort) + "/tcp"): {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: port}},
	}}
	return r, nil
}

func (e *fakeEngine) ContainerStop(_ context.Context, id string, _ client.ContainerStopOptions) (r client.ContainerStopResult, err error) {
	if !strings.HasPrefix(id, "bottle-") {
		return r, errdefs.ErrNotFound
	}
	e.kill()
	return r, nil
}

func (e *fakeEngine) ContainerRemove(_ context.Context, id string, _ client.ContainerRemoveOptions) (r client.ContainerRemoveResult, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.exists, id)
	return r, nil
}

// deafConn is the host's end of streams that nobody reads any more, once it hangs.
type deafConn struct {
	net.Conn
	hangs  atomic.Bool
	stuck  chan struct{} // closed when a Write waits
	closed chan struct{}
	once   sync.Once
}

func (c *deafConn) Write(p []byte) (int, error) {
	if !c.hangs.Load() {
		return c.Conn.Write(p)
	}
	close(c.stuck)
	<-c.closed
	return 0, net.ErrClosed
}

func (c *deafConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
