package launch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// canary is a live listener on the host's loopback that no guest may reach. A refused
// dial proves nothing unless somebody could have answered, so the host first proves
// that it reaches the canary itself; whatever else connects is counted.
type canary struct {
	listener net.Listener
	nonce    [16]byte
	wg       sync.WaitGroup
	mu       sync.Mutex
	hits     int
	proofs   int
}

// canaryPatience bounds how long a connection may take to show the nonce.
const canaryPatience = time.Second

func startCanary(ctx context.Context) (*canary, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the canary: %w", err)
	}
	c := &canary{listener: listener}
	_, _ = rand.Read(c.nonce[:]) // never fails: crypto/rand ends the program instead
	c.wg.Go(c.serve)
	if err := c.prove(ctx); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *canary) addr() string { return c.listener.Addr().String() }

func (c *canary) serve() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.wg.Go(func() { c.judge(conn) })
	}
}

// judge counts a connection: with the nonce it is the host's own proof, without it
// somebody came in who should not have.
func (c *canary) judge(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(canaryPatience))
	var got [16]byte
	_, err := io.ReadFull(conn, got[:])
	ours := err == nil && got == c.nonce
	c.mu.Lock()
	if ours {
		c.proofs++
	} else {
		c.hits++
	}
	c.mu.Unlock()
	if ours {
		_, _ = conn.Write(c.nonce[:])
	}
}

// prove dials the canary from the host, as the guest must not be able to.
func (c *canary) prove(ctx context.Context) error {
	conn, err := (&net.Dialer{Timeout: canaryPatience}).DialContext(ctx, "tcp", c.addr())
	if err != nil {
		return fmt.Errorf("proving the canary reachable: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(canaryPatience))
	if _, err := conn.Write(c.nonce[:]); err != nil {
		return fmt.Errorf("proving the canary reachable: %w", err)
	}
	var echo [16]byte
	if _, err := io.ReadFull(conn, echo[:]); err != nil {
		return fmt.Errorf("proving the canary reachable: %w", err)
	}
	if echo != c.nonce {
		return errors.New("proving the canary reachable: somebody else answered")
	}
	return nil
}

// count returns the connections that came from elsewhere, and whether the canary was
// reachable from the host.
func (c *canary) count() (hits int, proved bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.proofs > 0
}

func (c *canary) close() error {
	err := c.listener.Close()
	c.wg.Wait()
	return err
}
