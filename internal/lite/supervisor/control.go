//go:build linux

package supervisor

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"

	"bottle.internal/internal/lite/store"
	"bottle.internal/internal/lite/wire"
)

const (
	requestTime = 10 * time.Second // for the first frame of a client, and the header of a stream
	pingTime    = 5 * time.Second
	dialTime    = 5 * time.Second
	// maxMuxStreams is far beyond what our own guest opens: more is an attack on memory.
	maxMuxStreams = 4 * wire.MaxStreams
)

// acceptControl serves the other commands of the same user.
func (s *supervisor) acceptControl(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		s.wait.Go(func() { s.control(conn) })
	}
}

func (s *supervisor) control(client net.Conn) {
	defer func() { _ = client.Close() }()
	ended := context.AfterFunc(s.stopping, func() { _ = client.SetReadDeadline(time.Unix(1, 0)) })
	defer ended()
	_ = client.SetReadDeadline(time.Now().Add(requestTime))
	conn := wire.NewConn(client)
	var request wire.Request
	frame, err := conn.Receive()
	if err == nil {
		err = frame.Decode(wire.KindRequest, &request)
	}
	if err != nil {
		_ = conn.SendJSON(wire.KindExit, wire.Exit{Code: 1, Error: err.Error()})
		return
	}
	_ = client.SetReadDeadline(time.Time{})
	switch request.Op {
	case wire.OpPing:
		_ = conn.SendJSON(wire.KindExit, s.ping())
	case wire.OpStop:
		s.stop()
		<-s.vm.exited
		_ = conn.SendJSON(wire.KindExit, wire.Exit{})
	case wire.OpExec, wire.OpPut, wire.OpGet:
		s.relay(client, frame)
	default:
		_ = conn.SendJSON(wire.KindExit, wire.Exit{Code: 1, Error: fmt.Sprintf("unknown operation %.20q", request.Op)})
	}
}

func (s *supervisor) ping() wire.Exit {
	ctx, cancel := context.WithTimeout(s.stopping, pingTime)
	defer cancel()
	exit, err := s.vm.ask(ctx, wire.Request{Op: wire.OpPing})
	if err != nil {
		return wire.Exit{Code: 1, Error: err.Error()}
	}
	return exit
}

// relay passes a conversation on as it is: its two ends check every frame themselves.
// When either side ends, the other one is told at once.
func (s *supervisor) relay(client net.Conn, first wire.Frame) {
	stream, err := s.vm.session.OpenStream()
	if err == nil {
		err = wire.NewConn(stream).Send(first.Kind, first.Payload)
	}
	if err != nil {
		_ = wire.NewConn(client).SendJSON(wire.KindExit, wire.Exit{Code: 1, Error: err.Error()})
		return
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		_, _ = io.Copy(stream, client)
		_ = stream.Close()
	})
	_, _ = io.Copy(client, stream)
	_ = client.Close()
	wait.Wait()
}

// acceptStreams serves the guest's mounted sockets.
func (s *supervisor) acceptStreams() {
	var open atomic.Int32
	for {
		stream, err := s.vm.session.AcceptStream()
		if err != nil {
			return
		}
		if s.vm.session.NumStreams() > maxMuxStreams {
			fmt.Fprintln(os.Stderr, "the guest opens too many streams")
			_ = s.vm.session.Close()
			return
		}
		if open.Add(1) > wire.MaxStreams {
			open.Add(-1)
			_ = stream.Close()
			continue
		}
		s.wait.Go(func() {
			defer open.Add(-1)
			if err := connect(s.stopping, stream, s.config.Sockets); err != nil {
				_ = stream.Close()
			}
		})
	}
}

// connect joins a guest's stream to the host socket that its header points to. The
// table is the one fixed at create; the guest never names a path.
func connect(ctx context.Context, stream *yamux.Stream, sockets []store.Socket) error {
	_ = stream.SetReadDeadline(time.Now().Add(requestTime))
	index, err := wire.ReadSocketHeader(stream, len(sockets))
	if err != nil {
		return err
	}
	_ = stream.SetReadDeadline(time.Time{})
	limit, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	conn, err := store.DialUnix(limit, sockets[index].Host)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	wire.Bridge(stream, conn)
	return nil
}
