package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"bottle.internal/internal/guestexec"
	"bottle.internal/internal/link"
)

const (
	maxViewers = 16
	// farewell is how long the viewers have at the end to take what is left for them.
	farewell = 2 * time.Second
)

// Config is what a session needs.
type Config struct {
	Socket string
	Size   guestexec.Size // until somebody attaches
	// Note is told of viewers that come and go. It may be nil.
	Note func(event string, fields map[string]any)
}

// Console is an agent's terminal. Its owner calls Close.
type Console struct {
	config        Config
	listener      *net.UnixListener
	master, slave *os.File
	sizes         *sizes
	input         chan []byte
	done          chan struct{}
	wg            sync.WaitGroup
	closing       sync.Once
	closeErr      error

	mu      sync.Mutex
	history *history
	viewers map[*viewer]bool
	count   int
	ended   *Exit
}

// Open makes the terminal and waits for viewers.
func Open(ctx context.Context, config Config) (*Console, error) {
	if config.Note == nil {
		config.Note = func(string, map[string]any) {}
	}
	listener, err := link.ListenPrivate(ctx, config.Socket)
	if err != nil {
		return nil, fmt.Errorf("making the socket for attach: %w", err)
	}
	master, slave, err := pty.Open()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a terminal: %w", err), listener.Close())
	}
	s := &Console{
		config: config, listener: listener, master: master, slave: slave,
		input: make(chan []byte), done: make(chan struct{}),
		history: newHistory(), viewers: map[*viewer]bool{},
	}
	s.sizes = newSizes(config.Size, func(size guestexec.Size) {
		_ = pty.Setsize(master, &pty.Winsize{Rows: uint16(size.Rows), Cols: uint16(size.Cols)})
	})
	// What is typed is for the guest's terminal: this one must not answer it too.
	if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
		return nil, errors.Join(fmt.Errorf("making a terminal: %w", err), s.Close())
	}
	s.wg.Go(s.accept)
	s.wg.Go(s.typeInput)
	s.wg.Go(func() { _, _ = io.Copy(io.Discard, master) }) // nobody reads an echo
	return s, nil
}

// Stdio is what the agent runs with.
func (s *Console) Stdio() guestexec.Stdio {
	return guestexec.Stdio{Stdin: s.slave, Stdout: output{s}, Stderr: output{s}, TTY: true, Sizes: s.sizes.out}
}

// output is the session as a writer. It never fails and never waits.
type output struct{ s *Console }

func (o output) Write(p []byte) (int, error) {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	o.s.history.add(p)
	for v := range o.s.viewers {
		v.send(kindOutput, p)
	}
	return len(p), nil
}

// End tells the viewers how the agent ended, and waits a moment until they know.
func (s *Console) End(exit Exit) {
	s.mu.Lock()
	s.ended = &exit
	var waiting []*viewer
	for v := range s.viewers {
		v.finish(exit)
		waiting = append(waiting, v)
	}
	s.mu.Unlock()
	late := time.After(farewell)
	for _, v := range waiting {
		select {
		case <-v.gone:
		case <-late:
			return
		}
	}
}

// Close ends the session. Viewers that are still there are cut off. Closing it again does
// nothing.
func (s *Console) Close() error {
	s.closing.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Console) close() error {
	err := s.listener.Close()
	close(s.done)
	s.mu.Lock()
	for v := range s.viewers {
		_ = v.conn.Close()
	}
	s.mu.Unlock()
	s.sizes.close()
	err = errors.Join(err, s.slave.Close(), s.master.Close())
	s.wg.Wait()
	return err
}

func (s *Console) accept() {
	for {
		conn, err := s.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select { // out of files, perhaps: others may give some back
			case <-s.done:
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		s.wg.Go(func() { s.serve(conn) })
	}
}

// typeInput writes what viewers type. Only it waits for a guest that does not read.
func (s *Console) typeInput() {
	for {
		select {
		case <-s.done:
			return
		case data := <-s.input:
			if _, err := s.master.Write(data); err != nil {
				return
			}
		}
	}
}

// enter registers a viewer and gives it what has happened so far, in one step: nothing is
// missed and nothing comes twice.
func (s *Console) enter(v *viewer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return errors.New("the bottle is being taken down")
	default:
	}
	if len(s.viewers) >= maxViewers {
		return fmt.Errorf("%d viewers are attached already", maxViewers)
	}
	s.count++
	v.number = s.count
	s.viewers[v] = true
	v.send(kindOutput, s.history.replay())
	if s.ended != nil {
		v.finish(*s.ended)
	}
	s.resize(v.rows > 0)
	return nil
}

func (s *Console) leave(v *viewer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.viewers, v)
	s.resize(false)
}

// resize makes the screen as small as the smallest viewer's. Without one it stays. The
// caller holds the lock.
func (s *Console) resize(redraw bool) {
	var size guestexec.Size
	for v := range s.viewers {
		rows, cols := int(v.rows), int(v.cols)
		if v.hello.ReadOnly || rows == 0 || cols == 0 {
			continue
		}
		if size.Rows == 0 || rows < size.Rows {
			size.Rows = rows
		}
		if size.Cols == 0 || cols < size.Cols {
			size.Cols = cols
		}
	}
	s.sizes.want(size, redraw)
}
