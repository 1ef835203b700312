//go:build linux

package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/lite/wire"
)

// guestError is a failure that the guest itself reported: trying again is no use.
type guestError struct{ text string }

func (e *guestError) Error() string { return e.text }

// machine is a running QEMU and the channel into it.
type machine struct {
	pid     int
	session *yamux.Session
	cancel  context.CancelFunc
	exited  chan struct{} // closed when QEMU has been reaped
	exitErr error         // valid then
}

func startMachine(config Config, console *ring) (*machine, error) {
	args, err := config.Spec.Args()
	if err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("making the guest's channel: %w", err)
	}
	defer func() { _ = theirs.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	m := &machine{cancel: cancel, exited: make(chan struct{})}
	if err := m.startQEMU(ctx, execx.Cmd{
		Path: config.QEMU, Args: args, Dir: "/", Env: []string{"PATH=/usr/bin:/bin"},
		// What QEMU says may be the guest's doing, too: it is bounded like the console.
		Stdout: console, Stderr: console, Files: []*os.File{theirs},
		DieWithUs: true, Grace: 300 * time.Millisecond,
	}); err != nil {
		cancel()
		_ = ours.Close()
		return nil, err
	}
	m.session, err = yamux.Client(wire.Guard(ours), wire.MuxConfig())
	if err != nil {
		m.kill()
		return nil, fmt.Errorf("starting the multiplexer: %w", err)
	}
	return m, nil
}

// startQEMU keeps a thread for as long as QEMU lives: the kernel kills QEMU when the
// thread that started it ends, not when the process does.
func (m *machine) startQEMU(ctx context.Context, cmd execx.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		process, err := execx.Start(ctx, cmd)
		if err == nil {
			m.pid = process.Pid()
		}
		started <- err
		if err == nil {
			m.exitErr = process.Wait()
			close(m.exited)
		}
	}()
	return <-started
}

// socketPair makes our end a connection and keeps the other a plain file for QEMU.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "link"), os.NewFile(uintptr(fds[1]), "link")
	defer func() { _ = ours.Close() }() // FileConn made its own copy
	conn, err := net.FileConn(ours)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// boot waits for the guest and gives it its configuration.
func (m *machine) boot(ctx context.Context, boot wire.Boot) error {
	boot.UnixNano = time.Now().UnixNano()
	exit, err := m.ask(ctx, wire.Request{Op: wire.OpBoot, Boot: &boot})
	switch {
	case err == nil && exit.Error != "":
		return &guestError{exit.Error}
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return errors.New("the guest did not become ready in time")
	case ctx.Err() != nil:
		return fmt.Errorf("the start was called off: %w", context.Cause(ctx))
	}
	select {
	case <-m.exited:
		return fmt.Errorf("QEMU ended during boot: %w", errors.Join(m.exitErr, err))
	case <-time.After(time.Second): // a broken channel may be seen before the death that broke it
		return fmt.Errorf("the guest's channel broke during boot: %w", err)
	}
}

// ask holds a conversation of one request and one answer with the guest.
func (m *machine) ask(ctx context.Context, request wire.Request) (wire.Exit, error) {
	stream, err := m.session.OpenStream()
	if err != nil {
		return wire.Exit{}, err
	}
	conn := wire.NewConn(stream)
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SendJSON(wire.KindRequest, request); err != nil {
		return wire.Exit{}, err
	}
	frame, err := conn.Receive()
	if err != nil {
		return wire.Exit{}, err
	}
	var exit wire.Exit
	err = frame.Decode(wire.KindExit, &exit)
	return exit, err
}

// powerOff lets the guest end by itself, for a while.
func (m *machine) powerOff(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if stream, err := m.session.OpenStream(); err == nil {
		_ = stream.SetDeadline(time.Now().Add(limit))
		// No answer is expected: the machine is gone before it could come.
		_ = wire.NewConn(stream).SendJSON(wire.KindRequest, wire.Request{Op: wire.OpStop})
	}
	select {
	case <-m.exited:
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr, "the guest did not power off in time")
	}
}

// kill ends QEMU for certain and the channel with it. It may be called many times.
func (m *machine) kill() {
	select {
	case <-m.exited:
	default:
		_ = syscall.Kill(m.pid, syscall.SIGKILL) // ours until it is reaped
	}
	<-m.exited
	m.cancel()
	if m.session != nil {
		_ = m.session.Close()
	}
}
