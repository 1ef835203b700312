package boundary

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// nonceSize is what the host's own proof says first.
const nonceSize = 16

// maxConns bounds the connections that are looked at at once; others on the network may
// knock too. More of them wait.
const maxConns = 64

// patience bounds how long a connection may take to show the nonce: the host's own, too, on
// a machine that does much else.
const patience = 5 * time.Second

// Listener is a live target on this host that no guest may reach. It tells the host's own
// proof, which knows its nonce, from everybody else, and counts both.
type Listener struct {
	network string // "tcp" or "udp"
	stream  net.Listener
	packets net.PacketConn
	nonce   [nonceSize]byte
	served  sync.WaitGroup

	mu       sync.Mutex
	judged   sync.Cond // one connection less is being looked at
	open     map[net.Conn]struct{}
	hits     int
	proofs   int
	patience time.Duration // tests shorten it
}

// Listen opens a target at an address of this host, such as "127.0.0.1:0". Its owner
// closes it.
func Listen(ctx context.Context, network, address string) (*Listener, error) {
	l := &Listener{network: network, open: map[net.Conn]struct{}{}, patience: patience}
	l.judged.L = &l.mu
	_, _ = rand.Read(l.nonce[:]) // never fails: crypto/rand ends the program instead
	var err error
	if network == "udp" {
		l.packets, err = (&net.ListenConfig{}).ListenPacket(ctx, network, address)
	} else {
		l.stream, err = (&net.ListenConfig{}).Listen(ctx, network, address)
	}
	if err != nil {
		return nil, fmt.Errorf("opening a control: %w", err)
	}
	if l.packets != nil {
		l.served.Go(l.receive)
	} else {
		l.served.Go(l.accept)
	}
	return l, nil
}

// Addr is where it listens.
func (l *Listener) Addr() string {
	if l.packets != nil {
		return l.packets.LocalAddr().String()
	}
	return l.stream.Addr().String()
}

func (l *Listener) accept() {
	slots := make(chan struct{}, maxConns)
	for {
		slots <- struct{}{}
		conn, err := l.stream.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		l.open[conn] = struct{}{}
		end := time.Now().Add(l.patience)
		l.mu.Unlock()
		l.served.Go(func() {
			l.judge(conn, end)
			<-slots
		})
	}
}

func (l *Listener) judge(conn net.Conn, end time.Time) {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, conn)
		_ = conn.Close()
		l.judged.Broadcast()
	}()
	_ = conn.SetDeadline(end)
	var got [nonceSize]byte
	_, err := io.ReadFull(conn, got[:])
	if l.count(err == nil && got == l.nonce) {
		_, _ = conn.Write(l.nonce[:])
	}
}

func (l *Listener) receive() {
	buffer := make([]byte, 2*nonceSize)
	for {
		n, from, err := l.packets.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && l.count(bytes.Equal(buffer[:n], l.nonce[:])) {
			_, _ = l.packets.WriteTo(l.nonce[:], from)
		}
	}
}

func (l *Listener) count(ours bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ours {
		l.proofs++
	} else {
		l.hits++
	}
	return ours
}

// Nonce is what the host's own proof says, in hex.
func (l *Listener) Nonce() string { return hex.EncodeToString(l.nonce[:]) }

// Prove reaches the target from the host, as the guest must not be able to.
func (l *Listener) Prove(ctx context.Context) error {
	if err := l.prove(ctx); err != nil {
		return fmt.Errorf("proving %s reachable: %w", l.Addr(), err)
	}
	return nil
}

func (l *Listener) prove(ctx context.Context) error {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, l.network, l.Addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(l.nonce[:]); err != nil {
		return err
	}
	var echo [nonceSize]byte
	if _, err := io.ReadFull(conn, echo[:]); err != nil {
		return err
	}
	if echo != l.nonce {
		return errors.New("somebody else answered")
	}
	return nil
}

// Evidence returns how often somebody else came, and whether the host has reached it. Who
// came and is silent counts: it waits until that is known, which [patience] bounds.
func (l *Listener) Evidence() (hits int, proved bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.hits == 0 && len(l.open) > 0 {
		l.judged.Wait()
	}
	return l.hits, l.proofs > 0
}

// Close ends it and its connections.
func (l *Listener) Close() error {
	var err error
	if l.packets != nil {
		err = l.packets.Close()
	} else {
		err = l.stream.Close()
	}
	l.mu.Lock()
	for conn := range l.open {
		_ = conn.Close()
	}
	l.mu.Unlock()
	l.served.Wait()
	return err
}
