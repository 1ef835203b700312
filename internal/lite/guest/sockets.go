//go:build linux

package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"bottle.internal/internal/lite/wire"
	"bottle.internal/internal/ownsock"
)

// listen makes the guest's end of every mounted socket. They belong to root: the
// workload decides who may use them.
func (s *Server) listen(ctx context.Context, paths []string) error {
	slots := make(chan struct{}, wire.MaxStreams)
	for index, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("mounting socket %s: %w", path, err)
		}
		if err := removeSocket(path); err != nil {
			return fmt.Errorf("mounting socket %s: %w", path, err)
		}
		listener, err := ownsock.Listen(ctx, path)
		if err != nil {
			return fmt.Errorf("mounting socket %s: %w", path, err)
		}
		stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
		s.wait.Go(func() {
			defer stop()
			s.accept(listener, index, slots)
		})
	}
	return nil
}

// removeSocket clears what an earlier boot left on a persistent directory.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return errors.New("the path exists and is not a socket")
	}
	return os.Remove(path)
}

func (s *Server) accept(listener net.Listener, index int, slots chan struct{}) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		slots <- struct{}{} // beyond the limit connections wait in the backlog
		s.wait.Go(func() {
			defer func() { <-slots }()
			s.forward(conn, index)
		})
	}
}

func (s *Server) forward(conn net.Conn, index int) {
	stream, err := s.session.OpenStream()
	if err != nil {
		_ = conn.Close()
		return
	}
	if _, err := stream.Write(wire.SocketHeader(index)); err != nil {
		_ = conn.Close()
		_ = stream.Close()
		return
	}
	wire.Bridge(stream, conn.(*net.UnixConn)) //nolint:forcetypeassert // a unix listener accepts nothing else
}
