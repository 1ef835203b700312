//go:build linux

package guest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"bottle.internal/internal/lite/wire"
)

// maxLeftover bounds what is read from a pipe after the command's end: its capacity.
// More can only come from a process that the command left behind.
const maxLeftover = 1 << 20

// streams are the standard streams of one command.
type streams struct {
	stdin  *os.File   // our end, nil when the command has /dev/null
	output []*os.File // our ends: stdout, stderr; or the terminal's master
	child  []*os.File // the command's ends: stdin, stdout, stderr
	tty    bool
	input  *stdinBuffer

	mu     sync.Mutex
	exited bool // output stops at what is already in the pipes
}

func openStreams(req wire.Exec) (*streams, error) {
	s := &streams{tty: req.TTY, input: newStdinBuffer()}
	if req.TTY {
		err := s.openTTY(req)
		return s, err
	}
	if req.Stdin {
		read, write, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		s.stdin, s.child = write, append(s.child, read)
	} else {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		s.child = append(s.child, null)
	}
	for range 2 {
		read, write, err := os.Pipe()
		if err != nil {
			s.close()
			return nil, err
		}
		s.output, s.child = append(s.output, read), append(s.child, write)
	}
	return s, nil
}

func (s *streams) openTTY(req wire.Exec) error {
	master, slave, err := pty.Open()
	if err != nil {
		return err
	}
	if req.Rows > 0 && req.Cols > 0 {
		_ = pty.Setsize(master, &pty.Winsize{Rows: req.Rows, Cols: req.Cols})
	}
	s.output, s.child = []*os.File{master}, []*os.File{slave, slave, slave}
	if req.Stdin {
		s.stdin = master
	}
	return nil
}

func (s *streams) childFiles() []uintptr {
	fds := make([]uintptr, 0, len(s.child))
	for _, file := range s.child {
		fds = append(fds, file.Fd())
	}
	return fds
}

func (s *streams) closeChildEnds() {
	for _, file := range s.child {
		_ = file.Close()
	}
	s.child = nil
}

func (s *streams) close() {
	s.closeChildEnds()
	s.input.close()
	if s.stdin != nil {
		_ = s.stdin.Close()
	}
	for _, file := range s.output {
		_ = file.Close()
	}
}

// abandon is for a client that is gone: nothing may wait for it any more.
func (s *streams) abandon() {
	s.input.close()
	for _, file := range s.output {
		_ = file.SetReadDeadline(time.Unix(1, 0))
	}
}

// childExited wakes the pumps, which then take what is left and end, even if a
// background process holds the other ends open.
func (s *streams) childExited() {
	s.input.close()
	if s.stdin != nil && !s.tty {
		_ = s.stdin.Close()
	}
	s.mu.Lock()
	s.exited = true
	s.mu.Unlock()
	for _, file := range s.output {
		_ = file.SetReadDeadline(time.Unix(1, 0))
	}
	if s.tty && s.stdin != nil {
		_ = s.stdin.SetWriteDeadline(time.Unix(1, 0))
	}
}

func (s *streams) pumpOutput(conn *wire.Conn) {
	var wait sync.WaitGroup
	for i, file := range s.output {
		kind := wire.KindStdout
		if i == 1 {
			kind = wire.KindStderr
		}
		wait.Go(func() { s.pump(conn, kind, file) })
	}
	wait.Wait()
}

func (s *streams) pump(conn *wire.Conn, kind wire.Kind, file *os.File) {
	buffer := make([]byte, wire.MaxData)
	for {
		n, err := file.Read(buffer)
		if n > 0 && conn.Send(kind, buffer[:n]) != nil {
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.leftover(conn, kind, file)
			return
		}
		if err != nil {
			return
		}
	}
}

// leftover sends what the command wrote before it ended, without waiting for more.
func (s *streams) leftover(conn *wire.Conn, kind wire.Kind, file *os.File) {
	s.mu.Lock()
	exited := s.exited
	s.mu.Unlock()
	if !exited || file.SetReadDeadline(time.Time{}) != nil {
		return
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return
	}
	buffer := make([]byte, wire.MaxData)
	for sent := 0; sent < maxLeftover; {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			for {
				var err error
				if n, err = unix.Read(int(fd), buffer); !errors.Is(err, unix.EINTR) {
					return true
				}
			}
		})
		if err != nil || n <= 0 || conn.Send(kind, buffer[:n]) != nil {
			return
		}
		sent += n
	}
}

// receive handles the client's frames until the conversation ends.
func (s *streams) receive(conn *wire.Conn, child *child) error {
	for {
		frame, err := conn.Receive()
		if err != nil {
			return err
		}
		switch frame.Kind {
		case wire.KindStdin:
			if err := s.input.write(frame.Payload); err != nil {
				return err
			}
		case wire.KindStdinEOF:
			s.input.end()
		case wire.KindResize:
			if rows, cols := frame.Resize(); s.tty {
				_ = pty.Setsize(s.output[0], &pty.Winsize{Rows: rows, Cols: cols})
			}
		case wire.KindSignal:
			child.signal(syscall.Signal(frame.Payload[0]))
		default:
			return fmt.Errorf("%w: frame %q during exec", wire.ErrProtocol, frame.Kind)
		}
	}
}

// stdinBuffer holds what the client sent and the command did not take yet. It never
// exceeds wire.StdinWindow, which is the client's promise.
type stdinBuffer struct {
	mu     sync.Mutex
	wake   *sync.Cond
	data   bytes.Buffer
	ended  bool // the client sent all
	closed bool // nobody wants the rest
}

func newStdinBuffer() *stdinBuffer {
	b := &stdinBuffer{}
	b.wake = sync.NewCond(&b.mu)
	return b
}

func (b *stdinBuffer) write(p []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.data.Len()+len(p) > wire.StdinWindow {
		return fmt.Errorf("%w: more stdin than the window allows", wire.ErrProtocol)
	}
	b.data.Write(p)
	b.wake.Signal()
	return nil
}

func (b *stdinBuffer) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.wake.Signal()
}

func (b *stdinBuffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.wake.Signal()
}

// next waits for data. io.EOF is the client's end, io.ErrClosedPipe ours.
func (b *stdinBuffer) next(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.data.Len() == 0 && !b.ended && !b.closed {
		b.wake.Wait()
	}
	switch {
	case b.closed:
		return 0, io.ErrClosedPipe
	case b.data.Len() == 0:
		return 0, io.EOF
	}
	return b.data.Read(p)
}
