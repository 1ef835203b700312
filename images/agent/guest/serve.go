//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxConns    = 256 // for each port; more wait in the kernel's queue
	dialTimeout = 10 * time.Second
)

// serveCommand forwards until SIGTERM or SIGINT.
func serveCommand(args []string, m machine, stderr io.Writer) error {
	flags := newFlags("serve")
	if err := flags.Parse(args); err != nil || flags.NArg() != 0 {
		return usageError{"serve: takes no arguments"}
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	s := &server{dir: m.socketDir, every: m.rescan, conns: maxConns, log: log.New(stderr, "bottle-guest: ", 0)}
	if os.Getpid() == 1 {
		s.tasks.Go(func() { reap(ctx) })
	}
	s.run(ctx)
	return nil
}

// server forwards 127.0.0.1:PORT to dir/PORT.sock.
type server struct {
	dir   string
	every time.Duration
	conns int // for each port at once
	log   *log.Logger
	tasks sync.WaitGroup
	ports map[uint16]*port
	seen  time.Time // the directory's time when it was last read
}

// port is one forwarded port. listener is nil while the port is taken.
type port struct {
	listener *net.TCPListener
	close    context.CancelFunc
	complain string // the last error that was logged
}

func (s *server) run(ctx context.Context) {
	s.ports = map[uint16]*port{}
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	for {
		if s.changed() {
			s.scan(ctx)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			s.tasks.Wait()
			return
		}
	}
}

// changed spares an idle machine the reading of the directory. The time of a directory
// is coarse: one that is fresh may hide another change.
func (s *server) changed() bool {
	for _, p := range s.ports {
		if p.listener == nil {
			return true // a taken port is tried again
		}
	}
	info, err := os.Stat(s.dir)
	if err != nil {
		return len(s.ports) > 0
	}
	before := s.seen
	s.seen = info.ModTime()
	return !s.seen.Equal(before) || time.Since(s.seen).Abs() < time.Second
}

// socketPort is the port that a socket's name stands for. No regular expression: to compile
// one takes every start of this program 5 ms in an emulated machine.
func socketPort(name string) (port uint16, ok bool) {
	digits, ok := strings.CutSuffix(name, ".sock")
	number, err := strconv.ParseUint(digits, 10, 16)
	return uint16(number), ok && err == nil && number > 0 && strconv.FormatUint(number, 10) == digits
}

// scan opens a listener for each socket that appeared and closes those whose socket
// is gone. Connections that run are left alone.
func (s *server) scan(ctx context.Context) {
	found := map[uint16]bool{}
	entries, _ := os.ReadDir(s.dir) // may not exist yet
	for _, entry := range entries {
		if port, ok := socketPort(entry.Name()); ok && entry.Type()&os.ModeSocket != 0 {
			found[port] = true
		}
	}
	maps.DeleteFunc(s.ports, func(number uint16, p *port) bool {
		if found[number] {
			return false
		}
		p.close()
		return true
	})
	for number := range found {
		if p := s.ports[number]; p == nil || p.listener == nil {
			s.open(ctx, number)
		}
	}
}

func (s *server) open(ctx context.Context, number uint16) {
	p := s.ports[number]
	if p == nil {
		p = &port{close: func() {}}
		s.ports[number] = p
	}
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(number)})
	if err != nil {
		if text := err.Error(); text != p.complain {
			s.log.Printf("forwarding port %d: %v (trying again)", number, err)
			p.complain = text
		}
		return
	}
	s.log.Printf("forwarding 127.0.0.1:%d", number)
	closed, cancel := context.WithCancel(ctx)
	p.listener, p.close = listener, cancel
	s.tasks.Go(func() {
		<-closed.Done()
		_ = listener.Close()
	})
	socket := filepath.Join(s.dir, strconv.Itoa(int(number))+".sock")
	s.tasks.Go(func() { s.accept(ctx, closed.Done(), listener, socket) })
}

// accept serves one listener until it is closed. Its connections live on until ctx ends.
func (s *server) accept(ctx context.Context, closed <-chan struct{}, listener *net.TCPListener, socket string) {
	slots := make(chan struct{}, s.conns)
	for {
		select {
		case slots <- struct{}{}:
		case <-closed:
			return
		}
		conn, err := listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, most likely: it passes
			s.log.Printf("accepting on %s: %v", listener.Addr(), err)
			<-slots
			select {
			case <-time.After(s.every):
			case <-closed:
			}
			continue
		}
		s.tasks.Go(func() {
			defer func() { <-slots }()
			if err := splice(ctx, conn, socket); err != nil {
				s.log.Printf("forwarding to %s: %v", filepath.Base(socket), err)
			}
		})
	}
}

// splice joins the connection with a new one to the socket until both ways are done.
// A side that ends its half ends only that half.
func splice(ctx context.Context, conn *net.TCPConn, socket string) error {
	defer conn.Close()
	dialer := net.Dialer{Timeout: dialTimeout}
	upstream, err := dialer.DialUnix(ctx, "unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		_ = conn.SetLinger(0) // the client must see a reset, not an empty answer
		return fmt.Errorf("dialing: %w", err)
	}
	defer upstream.Close()
	defer context.AfterFunc(ctx, func() {
		_ = conn.Close()
		_ = upstream.Close()
	})()
	var way sync.WaitGroup
	way.Go(func() { oneWay(upstream, conn, conn) })
	oneWay(conn, upstream, conn)
	way.Wait()
	return nil
}

type halfConn interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// oneWay copies until the end of from. After an error nothing more can come of the
// pair: both are closed, and the TCP side is reset.
func oneWay(to, from halfConn, tcp *net.TCPConn) {
	_, err := io.Copy(to, from)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil && !errors.Is(err, unix.ENOTCONN) {
		_ = tcp.SetLinger(0)
		_ = to.Close()
		_ = from.Close()
	}
}

// reap collects orphans when we are PID 1 of the machine. serve has no children of
// its own that it could take away from anybody.
func reap(ctx context.Context) {
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	defer signal.Stop(children)
	for {
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != nil || pid <= 0 {
				break
			}
		}
		select {
		case <-children:
		case <-ctx.Done():
			return
		}
	}
}
