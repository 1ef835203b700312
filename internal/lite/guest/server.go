//go:build linux

// Package guest is what runs as PID 1 in a machine of smolvm-lite: it sets the system
// up, runs the image's workload, and serves exec, cp and the mounted sockets over the
// one virtio port that leads to the supervisor.
package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"

	"bottle.internal/internal/lite/wire"
)

// System is what the server needs from the machine around it.
type System interface {
	// Setup applies the boot configuration: clock, hostname.
	Setup(boot wire.Boot) error
	// Stop powers the machine off and does not return in a real one.
	Stop()
}

// Server answers the supervisor's streams.
type Server struct {
	system  System
	reaper  *reaper
	session *yamux.Session

	mu     sync.Mutex
	booted bool
	boot   wire.Boot
	wait   sync.WaitGroup
}

// Serve talks over conn until it breaks or ctx ends.
func Serve(ctx context.Context, conn net.Conn, system System) error {
	session, err := yamux.Server(conn, wire.MuxConfig())
	if err != nil {
		return fmt.Errorf("starting the multiplexer: %w", err)
	}
	s := &Server{system: system, reaper: newReaper(), session: session}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		_ = session.Close()
		s.wait.Wait()
	}()
	s.wait.Go(func() { s.reaper.run(ctx) })
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	for {
		stream, err := session.Accept()
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("accepting a stream: %w", err)
		}
		s.wait.Go(func() { s.handle(ctx, stream) })
	}
}

// handle serves one stream: one request, one exit.
func (s *Server) handle(ctx context.Context, stream net.Conn) {
	conn := wire.NewConn(stream)
	var readers sync.WaitGroup
	var request wire.Request
	frame, err := conn.Receive()
	if err == nil {
		err = frame.Decode(wire.KindRequest, &request)
	}
	exit := wire.Exit{Code: 1}
	if err != nil {
		exit.Error = err.Error()
	} else {
		exit = s.dispatch(ctx, conn, request, &readers)
	}
	_ = conn.SendJSON(wire.KindExit, exit)
	_ = conn.Close()
	readers.Wait()
}

func (s *Server) dispatch(ctx context.Context, conn *wire.Conn, r wire.Request, readers *sync.WaitGroup) wire.Exit {
	switch {
	case r.Op == wire.OpBoot && r.Boot != nil:
		return failure(s.start(ctx, *r.Boot))
	case !s.isBooted():
		return wire.Exit{Code: 1, Error: "the machine is not booted yet"}
	case r.Op == wire.OpPing:
		return wire.Exit{}
	case r.Op == wire.OpExec && r.Exec != nil:
		return s.exec(conn, *r.Exec, readers)
	case r.Op == wire.OpPut && r.File != nil:
		return failure(put(conn, *r.File))
	case r.Op == wire.OpGet && r.File != nil:
		return failure(get(conn, *r.File))
	case r.Op == wire.OpStop:
		s.system.Stop()
		return wire.Exit{}
	}
	return wire.Exit{Code: 1, Error: fmt.Sprintf("unknown operation %.20q", r.Op)}
}

func failure(err error) wire.Exit {
	if err != nil {
		return wire.Exit{Code: 1, Error: err.Error()}
	}
	return wire.Exit{}
}

func (s *Server) isBooted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.booted
}

// start applies the boot configuration. The sockets listen before the workload runs,
// so that it never sees one missing.
func (s *Server) start(ctx context.Context, boot wire.Boot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.booted {
		return errors.New("the machine is booted already")
	}
	s.boot = boot
	if err := s.system.Setup(boot); err != nil {
		return err
	}
	if err := s.listen(ctx, boot.Sockets); err != nil {
		return err
	}
	if len(boot.Argv) > 0 {
		if err := s.startWorkload(boot); err != nil {
			return fmt.Errorf("starting the workload: %w", err)
		}
	}
	s.booted = true
	return nil
}

// startWorkload runs the image's command with the console as its output. Nobody
// restarts it, and exec works without it.
func (s *Server) startWorkload(boot wire.Boot) error {
	cmd, err := s.prepare(wire.Exec{Argv: boot.Argv})
	if err != nil {
		return err
	}
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening /dev/null: %w", err)
	}
	defer func() { _ = syscall.Close(null) }()
	child, err := s.reaper.start(cmd.path, boot.Argv, &syscall.ProcAttr{
		Dir: cmd.dir, Env: cmd.env, Files: []uintptr{uintptr(null), 1, 2},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("failed to spawn command: %s", osError(err))
	}
	s.wait.Go(func() {
		select {
		case status := <-child.done:
			fmt.Printf("lite-init: the workload ended with code %d\n", exitCode(status))
		case <-s.session.CloseChan():
		}
	})
	return nil
}

// terminateAll ends every process but ourselves: asks, waits for at most grace, kills.
func terminateAll(grace time.Duration) {
	_ = syscall.Kill(-1, syscall.SIGTERM)
	_ = syscall.Kill(-1, syscall.SIGCONT)
	for end := time.Now().Add(grace); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if !hasChildren() {
			return
		}
	}
	_ = syscall.Kill(-1, syscall.SIGKILL)
}
