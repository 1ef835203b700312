//go:build linux

// Package supervisor is the process that a started machine of smolvm-lite leaves
// behind. It owns QEMU, the guest's only channel, the control socket that the other
// commands talk to, and the host's end of the mounted sockets.
//
// It holds the machine's lock from its first to its last moment, QEMU dies with it,
// and it survives any bytes that the guest sends.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"bottle.internal/internal/lite/store"
	"bottle.internal/internal/lite/vm"
	"bottle.internal/internal/lite/wire"
)

const (
	// BootTime is how long one boot may take on a loaded machine (2 s is typical).
	BootTime = 60 * time.Second
	// stopTime is what the guest gets to power off before QEMU is ended.
	stopTime = 3 * time.Second
	attempts = 2
)

// Config is what start decided. It travels in a file of the machine's directory.
type Config struct {
	QEMU     string         `json:"qemu"`
	Spec     vm.Spec        `json:"spec"`
	Boot     wire.Boot      `json:"boot"`
	Sockets  []store.Socket `json:"sockets"` // the guest can only name an index into it
	BootTime time.Duration  `json:"boot_time"`
}

// supervisor is one run.
type supervisor struct {
	dir     store.Dir
	config  Config
	run     store.Run
	console *ring
	vm      *machine

	stop     context.CancelFunc // asks for the end, any number of times
	stopping context.Context    //nolint:containedctx // ended by stop, or by a signal
	wait     sync.WaitGroup
}

// Run supervises the machine in dir until it ends. It tells over report how the start
// went; if the other end of report closes before that, the start is called off. Ending
// ctx powers the machine off.
func Run(ctx context.Context, dir store.Dir, report net.Conn) error {
	s := &supervisor{dir: dir}
	s.stopping, s.stop = context.WithCancel(ctx)
	defer s.stop()
	err := s.begin(report)
	exit := wire.Exit{}
	if err != nil {
		exit = wire.Exit{Code: 1, Error: err.Error()}
	}
	listener, err := s.listen(err)
	if err != nil && exit.Error == "" {
		exit = wire.Exit{Code: 1, Error: err.Error()}
	}
	_ = wire.NewConn(report).SendJSON(wire.KindExit, exit)
	_ = report.Close()
	if listener != nil {
		s.serve(listener)
	}
	s.end()
	return err
}

// begin boots, with the caller of start watching.
func (s *supervisor) begin(report net.Conn) error {
	if err := s.dir.ReadFile(store.BootFile, &s.config); err != nil {
		return err
	}
	self, err := store.ProcessOf(os.Getpid())
	if err != nil {
		return err
	}
	s.run = store.Run{Supervisor: self, Accel: string(s.config.Spec.Accel)}
	if err := s.dir.WriteRun(s.run); err != nil {
		return err
	}
	if s.console, err = newRing(s.dir.Path(store.ConsoleLog)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(s.stopping)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_, _ = report.Read(make([]byte, 1)) // nobody writes: this ends when start ends
		cancel()
	}()
	err = s.bootWithRetry(ctx)
	_ = report.SetReadDeadline(time.Unix(1, 0))
	<-watched
	return err
}

// bootWithRetry tries again once when the guest stayed silent: QEMU's clock
// calibration hangs now and then. What the guest reports as an error is final.
func (s *supervisor) bootWithRetry(ctx context.Context) error {
	var err error
	for range attempts {
		if err = s.boot(ctx); err == nil {
			return nil
		}
		if final := (*guestError)(nil); errors.As(err, &final) || ctx.Err() != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "boot failed:", err)
	}
	return fmt.Errorf("%w\n%s", err, s.console.summary())
}

func (s *supervisor) boot(ctx context.Context) error {
	vm, err := startMachine(s.config, s.console)
	if err != nil {
		return err
	}
	err = s.recordQEMU(vm)
	if err == nil {
		limit, cancel := context.WithTimeout(ctx, s.config.BootTime)
		defer cancel()
		err = vm.boot(limit, s.config.Boot)
	}
	if err != nil {
		vm.kill()
		return err
	}
	s.vm = vm
	return nil
}

func (s *supervisor) recordQEMU(vm *machine) error {
	qemu, err := store.ProcessOf(vm.pid)
	if err != nil {
		return err
	}
	s.run.QEMU = qemu
	return s.dir.WriteRun(s.run)
}

// listen opens the control socket of a booted machine.
func (s *supervisor) listen(bootErr error) (net.Listener, error) {
	if bootErr != nil {
		return nil, bootErr
	}
	listener, err := store.ListenUnix(s.stopping, s.dir.Path(store.ControlSocket))
	if err != nil {
		return nil, err
	}
	s.run.Ready = true
	if err := s.dir.WriteRun(s.run); err != nil {
		_ = listener.Close()
		return nil, err
	}
	return listener, nil
}

// serve works until QEMU ends or somebody asks for the end.
func (s *supervisor) serve(listener net.Listener) {
	s.wait.Go(func() { s.acceptControl(listener) })
	s.wait.Go(func() { s.acceptStreams() })
	select {
	case <-s.vm.exited:
		fmt.Fprintln(os.Stderr, "QEMU ended:", s.vm.exitErr)
	case <-s.vm.session.CloseChan():
		fmt.Fprintln(os.Stderr, "the guest's channel broke")
	case <-s.stopping.Done():
		s.vm.powerOff(stopTime)
	}
	_ = listener.Close()
}

// end leaves nothing running. The lock is released by the end of the process.
func (s *supervisor) end() {
	s.stop()
	if s.vm != nil {
		s.vm.kill()
	}
	s.wait.Wait()
	_ = os.Remove(s.dir.Path(store.ControlSocket))
	if s.console != nil {
		_ = s.console.Close()
	}
}
