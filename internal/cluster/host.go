package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"

	"bottle.internal/internal/control"
	"bottle.internal/internal/daemons"
	"bottle.internal/internal/link"
)

// maxOpen bounds the questions of one connection that wait for an answer.
const maxOpen = 64

// Config is what a [Host] needs.
type Config struct {
	Dir     string // ControlDir
	Daemons []daemons.Daemon
	Inputs  map[string]control.Inputs // to begin with
	// Answer answers what a daemon asks; it is called side by side.
	Answer func(ctx context.Context, q control.Question) (any, error)
	Log    func(text string)
}

// Host is the overseer's end of the channels to all daemons.
type Host struct {
	config Config
	lines  map[string]*line
}

// line is the way to one daemon.
type line struct {
	daemon daemons.Daemon

	delivering sync.Mutex // so that the last to write is the last to look

	mu     sync.Mutex
	inputs control.Inputs
	peer   *control.DaemonPeer // nil while nobody is connected
}

// NewHost returns a host that serves nobody yet.
func NewHost(config Config) *Host {
	h := &Host{config: config, lines: map[string]*line{}}
	for _, d := range config.Daemons {
		h.lines[d.Name] = &line{daemon: d, inputs: config.Inputs[d.Name]}
	}
	return h
}

// Serve opens every daemon's socket and serves until ctx ends, or until one of the sockets
// cannot be opened.
func (h *Host) Serve(ctx context.Context) error {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, l := range h.lines {
		listener, err := listen(ctx, filepath.Join(h.config.Dir, l.daemon.Name))
		if err != nil {
			return fmt.Errorf("opening the way to the %s: %w", l.daemon.Name, err)
		}
		tasks.Go(func() { h.accept(ctx, listener, l) })
	}
	<-ctx.Done()
	return nil
}

// Deliver replaces the inputs of a daemon, now and whenever it comes back.
func (h *Host) Deliver(_ context.Context, daemon string, inputs control.Inputs) error {
	l, ok := h.lines[daemon]
	if !ok {
		return fmt.Errorf("there is no daemon %q", daemon)
	}
	l.mu.Lock()
	l.inputs = inputs
	l.mu.Unlock()
	return l.deliver()
}

// listen replaces the socket of an overseer that died. The group is the Pod's own; that no
// other container mounts the directory keeps the others out.
func listen(ctx context.Context, dir string) (net.Listener, error) {
	name := filepath.Join(dir, socketName)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", name)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, 0o660); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// accept serves one connection at a time: a daemon that comes back finds the old one closed.
func (h *Host) accept(ctx context.Context, listener net.Listener, l *line) {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		if unix, ok := conn.(*net.UnixConn); !ok || !link.PeerIs(unix, l.daemon.UID) {
			h.config.Log(fmt.Sprintf("%s: somebody else than its user came by its socket", l.daemon.Name))
			_ = conn.Close()
			continue
		}
		h.converse(ctx, control.NewDaemonPeer(conn), l)
	}
}

func (h *Host) converse(ctx context.Context, peer *control.DaemonPeer, l *line) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = peer.Close() })()
	var answers sync.WaitGroup
	defer answers.Wait()
	defer func() { _ = peer.Close() }()
	defer cancel() // before the answers are waited for
	l.set(peer)
	defer l.set(nil)
	if err := l.deliver(); err != nil {
		h.config.Log(fmt.Sprintf("%s: %v", l.daemon.Name, err))
		return
	}
	open := make(chan struct{}, maxOpen)
	for {
		q, err := peer.Next()
		if err != nil {
			if errors.Is(err, control.ErrProtocol) {
				h.config.Log(fmt.Sprintf("%s: %v", l.daemon.Name, err))
			}
			return
		}
		q.Daemon = l.daemon.Name
		select {
		case open <- struct{}{}:
		default:
			_ = peer.Answer(control.Answer{ID: q.ID, Error: "too many questions are open"})
			continue
		}
		answers.Go(func() {
			_ = peer.Answer(h.answer(ctx, q))
			<-open
		})
	}
}

func (h *Host) answer(ctx context.Context, q control.Question) control.Answer {
	body, err := h.config.Answer(ctx, q)
	var raw json.RawMessage
	if err == nil {
		raw, err = json.Marshal(body)
	}
	if err != nil {
		return control.Answer{ID: q.ID, Error: err.Error()}
	}
	return control.Answer{ID: q.ID, Body: raw}
}

func (l *line) set(peer *control.DaemonPeer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peer = peer
}

// deliver hands over the inputs of now; a daemon that is not there gets them when it comes.
func (l *line) deliver() error {
	l.delivering.Lock()
	defer l.delivering.Unlock()
	l.mu.Lock()
	peer, inputs := l.peer, l.inputs
	l.mu.Unlock()
	if peer == nil {
		return nil
	}
	return peer.Inputs(inputs)
}
