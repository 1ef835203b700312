//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"bottle.internal/internal/lite/store"
	"bottle.internal/internal/lite/wire"
)

// The states of smolvm that the stand-in knows.
const (
	stateCreated     = "created"
	stateRunning     = "running"
	stateStopped     = "stopped"
	stateUnreachable = "unreachable"
)

const (
	pingLimit = 8 * time.Second // more than the supervisor gives the guest
	stopLimit = 8 * time.Second // more than the guest gets to power off
)

// condition is the truth about a machine, whatever its files say.
type condition struct {
	state string
	pid   *int
	run   store.Run
}

// inspect believes only a live process with the recorded start time that answers.
func inspect(ctx context.Context, dir store.Dir) (condition, error) {
	run, started, err := dir.ReadRun()
	switch {
	case err != nil:
		return condition{}, err
	case !started:
		return condition{state: stateCreated}, nil
	case !run.Supervisor.Alive() || !run.Ready:
		return condition{state: stateStopped, run: run}, nil
	}
	c := condition{state: stateRunning, pid: &run.Supervisor.PID, run: run}
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	if err := ask(ctx, dir, wire.OpPing); err != nil {
		if !run.Supervisor.Alive() { // it ended while we asked
			return condition{state: stateStopped, run: run}, nil
		}
		c.state = stateUnreachable
	}
	return c, nil
}

// dial opens a conversation with the supervisor of a machine.
func dial(ctx context.Context, dir store.Dir) (*wire.Conn, func(), error) {
	socket, err := store.DialUnix(ctx, dir.Path(store.ControlSocket))
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	return wire.NewConn(socket), func() { stop(); _ = socket.Close() }, nil
}

// ask sends a request without data and waits for its end.
func ask(ctx context.Context, dir store.Dir, op wire.Op) error {
	conn, done, err := dial(ctx, dir)
	if err != nil {
		return err
	}
	defer done()
	if err := conn.SendJSON(wire.KindRequest, wire.Request{Op: op}); err != nil {
		return err
	}
	frame, err := conn.Receive()
	if err != nil {
		return err
	}
	var exit wire.Exit
	if err := frame.Decode(wire.KindExit, &exit); err != nil {
		return err
	}
	if exit.Error != "" {
		return errors.New(exit.Error)
	}
	return nil
}

// halt ends whatever runs in the machine: politely, then with signals. Afterwards
// supervisor and QEMU are gone and the returned lock is held.
func halt(ctx context.Context, dir store.Dir) (*os.File, error) {
	if lock, err := settled(ctx, dir, 0); !errors.Is(err, store.ErrBusy) {
		return lock, err
	}
	run, _, err := dir.ReadRun()
	if err != nil {
		return nil, err
	}
	polite, cancel := context.WithTimeout(ctx, stopLimit)
	if err := ask(polite, dir, wire.OpStop); err != nil {
		run.Supervisor.Signal(syscall.SIGTERM) // it is starting, or does not answer
	}
	cancel()
	for _, s := range []syscall.Signal{0, syscall.SIGKILL} {
		if s != 0 {
			run.Supervisor.Signal(s)
			run.QEMU.Signal(s)
		}
		if lock, err := settled(ctx, dir, stopLimit/2); !errors.Is(err, store.ErrBusy) {
			return lock, err
		}
	}
	return nil, store.ErrBusy
}

// settled takes the lock and waits for a QEMU whose supervisor was killed: the kernel
// ends it a moment later.
func settled(ctx context.Context, dir store.Dir, limit time.Duration) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, max(limit, time.Millisecond))
	defer cancel()
	lock, err := dir.LockWait(ctx)
	if err != nil {
		return nil, err
	}
	run, _, err := dir.ReadRun()
	if err == nil && run.QEMU.Alive() {
		run.QEMU.Signal(syscall.SIGKILL)
		gone, cancelGone := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		err = run.QEMU.WaitGone(gone)
		cancelGone()
	}
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("ending the machine: %w", err)
	}
	return lock, nil
}
