//go:build linux

package initd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/control"
)

const (
	maxQueued  = 256                    // messages to a host that does not read
	flushLimit = 200 * time.Millisecond // for the last of them
)

// supervisor is a running init.
type supervisor struct {
	config  Config
	journal *journal
	control *control.Init
	reaper  *reaper
	asked   *switchboard
	queue   chan func() error // what the host is told, in order

	tasks   sync.WaitGroup
	mu      sync.Mutex
	daemons []*daemon
	booted  bool
}

// Run is init. It returns nil after TERM, INT, a host's shutdown or the end of ctx, with
// every daemon gone; an error when it cannot do its work at all.
func Run(ctx context.Context, config Config) error {
	if config.Timing == (Timing{}) {
		config.Timing = DefaultTiming()
	}
	if err := hide(); err != nil {
		return err
	}
	// PIPE is caught so that a host who went away does not end us by a write; USR1 and
	// USR2 so that they end neither us nor, being forwarded to nobody, a daemon.
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGCHLD,
		syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)

	s := &supervisor{
		config: config, journal: &journal{out: config.Stderr},
		control: control.NewInit(config.Stdin, config.Stdout),
		reaper:  newReaper(), asked: &switchboard{waiting: map[uint64]waiting{}}, queue: make(chan func() error, maxQueued),
	}
	running, cancel := context.WithCancel(ctx)
	flushed := s.tellHost()
	defer func() {
		cancel()
		s.tasks.Wait()
		close(s.queue)
		select {
		case <-flushed:
		case <-time.After(flushLimit):
		}
	}()
	waitHealth, err := serveHealth(running, config.HealthSocket, s.report)
	if err != nil {
		return err
	}
	s.tasks.Go(waitHealth)
	return s.loop(running, signals)
}

// hide keeps others from reading our memory: it holds the inputs of all daemons.
func hide() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hiding init's memory: %w", err)
	}
	return nil
}

func (s *supervisor) loop(ctx context.Context, signals <-chan os.Signal) error {
	messages := s.receive(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			switch sig {
			case syscall.SIGTERM, syscall.SIGINT:
				s.journal.printf("ending: %v", sig)
				return nil
			case syscall.SIGCHLD:
				s.reaper.reap()
			}
		case message := <-messages:
			switch message := message.(type) {
			case control.Bootstrap:
				s.bootstrap(ctx, message)
			case control.Deliver:
				s.deliver(message)
			case control.Answer:
				s.answer(message)
			case control.Shutdown:
				s.journal.printf("ending: the host asked for it")
				return nil
			case error: // the host is gone, or talks nonsense
				s.journal.printf("no more word from the host: %v", message)
				if !s.isBooted() && !errors.Is(message, io.EOF) {
					return message
				}
				messages = nil
				s.dropQuestions()
			}
		}
	}
}

// receive reads the host's messages, the last one being an error. Its goroutine is the
// one that may outlive Run: a read of stdin cannot be interrupted, and PID 1 is ending.
func (s *supervisor) receive(ctx context.Context) <-chan any {
	messages := make(chan any)
	go func() {
		for {
			message, err := s.control.Next()
			if err != nil {
				message = err
			}
			select {
			case messages <- message:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return messages
}

// bootstrap starts everything, or takes over from a host that was there before.
func (s *supervisor) bootstrap(ctx context.Context, b control.Bootstrap) {
	specs, err := s.config.selected(b.Daemons)
	if err == nil {
		err = checkInputs(specs, b)
	}
	if err == nil && s.isBooted() && !slices.EqualFunc(specs, s.daemons, func(spec Daemon, d *daemon) bool { return spec.Name == d.spec.Name }) {
		err = errors.New("other daemons are running already")
	}
	if err != nil {
		s.journal.printf("bootstrap refused: %v", err)
		s.tasks.Go(func() { s.insist(ctx, func() error { return s.control.Refuse(err.Error()) }) })
		return
	}
	if s.isBooted() {
		s.dropQuestions() // the host that was asked is gone
		for _, d := range s.daemons {
			s.deliver(control.Deliver{Daemon: d.spec.Name, Inputs: b.Inputs[d.spec.Name]})
		}
	} else {
		s.boot(ctx, specs, b)
	}
	s.tasks.Go(func() { s.announce(ctx) })
}

func checkInputs(specs []Daemon, b control.Bootstrap) error {
	for name := range b.Inputs {
		if !slices.ContainsFunc(specs, func(d Daemon) bool { return d.Name == name }) {
			return fmt.Errorf("inputs for %.40q, which does not run", name)
		}
	}
	return nil
}

func (s *supervisor) boot(ctx context.Context, specs []Daemon, b control.Bootstrap) {
	var daemons []*daemon
	for _, spec := range specs {
		d := &daemon{
			spec: spec, program: s.config.Program, timing: s.config.Timing,
			reaper: s.reaper, journal: s.journal, emit: s.emit,
			ask: s.ask, inputs: b.Inputs[spec.Name],
		}
		daemons = append(daemons, d)
		s.tasks.Go(func() { d.run(ctx) })
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.daemons, s.booted = daemons, true
}

// deliver replaces the inputs of a daemon, running or not.
func (s *supervisor) deliver(message control.Deliver) {
	for _, d := range s.daemons {
		if d.spec.Name == message.Daemon {
			d.setInputs(message.Inputs)
			d.event(control.Delivered, "")
			s.tasks.Go(d.deliver)
		}
	}
}

func (s *supervisor) isBooted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.booted
}

// report is the answer to a health question.
func (s *supervisor) report(ctx context.Context) Report {
	s.mu.Lock()
	daemons, booted := s.daemons, s.booted
	s.mu.Unlock()
	if !booted {
		return Report{State: "waiting for bootstrap", Daemons: map[string]string{}}
	}
	return check(ctx, daemons)
}

// announce says ready once all daemons answer.
func (s *supervisor) announce(ctx context.Context) {
	for !s.report(ctx).OK {
		select {
		case <-time.After(s.config.Timing.Poll):
		case <-ctx.Done():
			return
		}
	}
	if ctx.Err() != nil {
		return
	}
	s.journal.printf("ready")
	s.insist(ctx, s.control.Ready)
}

func (s *supervisor) emit(e control.Event) {
	s.tell(func() error { return s.control.Event(e) })
}

// tell queues a message; a host that does not read must not hold up a restart or the end.
func (s *supervisor) tell(message func() error) (queued bool) {
	select {
	case s.queue <- message:
		return true
	default:
		return false
	}
}

// insist queues what the host waits for, however much others have to say.
func (s *supervisor) insist(ctx context.Context, message func() error) {
	select {
	case s.queue <- message:
	case <-ctx.Done():
	}
}

func (s *supervisor) tellHost() (flushed <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for message := range s.queue {
			if err := message(); err != nil {
				s.journal.printf("%v", err)
			}
		}
	}()
	return done
}
