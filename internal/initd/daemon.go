//go:build linux

package initd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/control"
	"bottle.internal/internal/execx"
)

// daemon keeps one program running.
type daemon struct {
	spec    Daemon
	program string
	timing  Timing
	reaper  *reaper
	journal *journal
	emit    func(control.Event)
	ask     func(*asker, control.Question)

	delivering sync.Mutex

	mu      sync.Mutex
	inputs  control.Inputs
	process *execx.Process // nil while it is dead
	peer    *control.DaemonPeer
}

// run starts the program again and again until ctx ends, and leaves nothing of it.
func (d *daemon) run(ctx context.Context) {
	rest := backoff{timing: d.timing}
	for {
		started := time.Now()
		outcome := d.once(ctx)
		if ctx.Err() != nil {
			return
		}
		d.event(control.Died, outcome)
		pause, giveUp := rest.next(started, time.Now())
		if giveUp {
			d.event(control.GaveUp, fmt.Sprintf("%d deaths within %v; trying every %v", d.timing.GiveUp, d.timing.Window, d.timing.BackoffMax))
		}
		d.event(control.Restarting, pause.String())
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// once runs the program to its end and returns how it ended.
func (d *daemon) once(ctx context.Context) string {
	stdout, stderr := &stream{from: d.spec.Name, journal: d.journal}, &stream{from: d.spec.Name, journal: d.journal}
	cmd := execx.Cmd{
		Path: d.spec.Path, Args: d.spec.Args, Env: d.spec.Env, Stdout: stdout, Stderr: stderr,
		Grace: 500 * time.Millisecond, // for output that an orphan of the daemon holds open
	}
	if cmd.Path == "" {
		cmd.Path = d.program
	}
	if d.spec.UID != 0 {
		cmd.User = &execx.User{UID: d.spec.UID, GID: d.spec.UID}
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return err.Error()
	}
	cmd.Files = []*os.File{theirs}
	cmd.Env = append(slices.Clone(cmd.Env), control.DaemonFDEnv+"=3")
	process, err := d.reaper.start(context.WithoutCancel(ctx), cmd)
	_ = theirs.Close()
	if err != nil {
		_ = ours.Close()
		return err.Error()
	}
	hangUp := d.converse(process, ours)
	defer hangUp()
	d.event(control.Started, fmt.Sprintf("pid %d", process.Pid()))

	exited, stopped := make(chan struct{}), make(chan struct{})
	cancel := context.AfterFunc(ctx, func() { defer close(stopped); d.stop(process, exited) })
	err = d.reaper.wait(process)
	close(exited)
	hangUp()
	if !cancel() {
		<-stopped
	}
	_ = process.Signal(syscall.SIGKILL) // what it started dies with it
	stdout.flush()
	stderr.flush()
	return describe(err)
}

// stop gives the program the grace period to obey.
func (d *daemon) stop(process *execx.Process, exited <-chan struct{}) {
	_ = process.Signal(syscall.SIGTERM)
	select {
	case <-exited:
	case <-time.After(d.timing.Grace):
		_ = process.Signal(syscall.SIGKILL)
	}
}

// socketPair is the channel between init and a daemon.
func socketPair() (ours net.Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making its channel: %w", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "control")
	file := os.NewFile(uintptr(fds[0]), "control")
	defer file.Close()
	if ours, err = net.FileConn(file); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("making its channel: %w", err), theirs.Close())
	}
	return ours, theirs, nil
}

// converse hands the daemon its inputs and listens to it until hangUp, which may be called
// twice.
func (d *daemon) converse(process *execx.Process, conn net.Conn) (hangUp func()) {
	peer := control.NewDaemonPeer(conn)
	d.mu.Lock()
	d.process, d.peer = process, peer
	d.mu.Unlock()
	var both sync.WaitGroup
	both.Go(d.deliver)
	both.Go(func() { d.listen(peer) })
	return func() {
		d.mu.Lock()
		if d.peer == peer {
			d.process, d.peer = nil, nil
		}
		d.mu.Unlock()
		_ = peer.Close()
		both.Wait()
	}
}

// deliver hands a running daemon its inputs of now; a dead one gets them at its start.
func (d *daemon) deliver() {
	d.delivering.Lock() // so that the last to write is the last to look
	defer d.delivering.Unlock()
	d.mu.Lock()
	peer, inputs := d.peer, d.inputs
	d.mu.Unlock()
	if peer == nil {
		return
	}
	if err := peer.Inputs(inputs); err != nil && !errors.Is(err, net.ErrClosed) {
		d.journal.printf("%s: %v", d.spec.Name, err)
	}
}

// listen passes the daemon's questions on. One that talks nonsense is not heard any more.
func (d *daemon) listen(peer *control.DaemonPeer) {
	from := &asker{daemon: d.spec.Name, peer: peer}
	for {
		q, err := peer.Next()
		if err != nil {
			if errors.Is(err, control.ErrProtocol) {
				d.journal.printf("%s: %v", d.spec.Name, err)
			}
			return
		}
		d.ask(from, q)
	}
}

func (d *daemon) setInputs(inputs control.Inputs) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inputs = inputs
}

func (d *daemon) isRunning() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.process != nil
}

func (d *daemon) event(what control.What, detail string) {
	d.journal.printf("%s: %s %s", d.spec.Name, what, detail)
	d.emit(control.Event{Daemon: d.spec.Name, What: what, Detail: detail})
}

// describe keeps the daemon's own words out of the event: they are in the log.
func describe(err error) string {
	exit := (*execx.ExitError)(nil)
	switch {
	case err == nil:
		return "exit status 0"
	case !errors.As(err, &exit):
		return err.Error()
	case exit.Signal != 0:
		return "killed by signal " + exit.Signal.String()
	}
	return fmt.Sprintf("exit status %d", exit.Code)
}
