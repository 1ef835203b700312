package link

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bottle.internal/tests/eventually"
	"bottle.internal/tests/fakenet"
)

// stream gives size bytes that depend on their position, so that a lost, doubled or
// swapped block changes the hash.
func stream(seed byte, size int64) io.Reader {
	block, err := aes.NewCipher(bytes.Repeat([]byte{seed}, 16))
	if err != nil {
		panic(err)
	}
	return io.LimitReader(cipher.StreamReader{S: cipher.NewCTR(block, make([]byte, 16)), R: zeros{}}, size)
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func hashOf(r io.Reader) (string, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, r)
	return fmt.Sprintf("%d %x", n, hash.Sum(nil)), err
}

func TestHundredMegabytesBothWays(t *testing.T) {
	t.Parallel()
	const size = 100 << 20
	wantUp, _ := hashOf(stream(1, size))
	wantDown, _ := hashOf(stream(2, size))

	gotUp := make(chan string, 1)
	daemon := fakenet.Listen(t)
	serveEach(t, daemon, func(conn Conn) {
		sent := make(chan struct{})
		go func() { defer close(sent); _, _ = io.Copy(conn, stream(2, size)); _ = conn.CloseWrite() }()
		sum, _ := hashOf(conn)
		gotUp <- sum
		<-sent
	})
	key := testKey(t)
	gate, addr := startGate(t, key, portOf(daemon))
	relay := startRelay(t, RelayConfig{Port: portOf(daemon), Key: key, Gate: func() string { return addr }})

	guest := dial(t, "unix", relay.config.Socket)
	go func() { _, _ = io.Copy(guest, stream(1, size)); _ = guest.CloseWrite() }()
	gotDown, err := hashOf(guest)
	if err != nil || gotDown != wantDown {
		t.Errorf("down: %s, %v, want %s", gotDown, err, wantDown)
	}
	if got := <-gotUp; got != wantUp {
		t.Errorf("up: %s, want %s", got, wantUp)
	}
	eventually.True(t, "the relay has let go", func() bool { return relay.Stats().Active == 0 })
	if stats := relay.Stats(); stats.Up != size || stats.Down != size {
		t.Errorf("the relay counted %+v", stats)
	}
	if stats := gate.Stats(); stats.Up != size || stats.Down != size || stats.Admitted != 1 || stats.Refused != 0 {
		t.Errorf("the gate counted %+v", stats)
	}
}

func TestManyConnectionsAtOnce(t *testing.T) {
	t.Parallel()
	key, port := testKey(t), echoDaemon(t)
	_, addr := startGate(t, key, port)
	relay := startRelay(t, RelayConfig{Port: port, Key: key, Gate: func() string { return addr }})
	var all sync.WaitGroup
	for i := range 100 {
		conn := dial(t, "unix", relay.config.Socket)
		all.Go(func() {
			text := strings.Repeat(big.NewInt(int64(i)).String()+",", 10_000)
			if got, err := ask(conn, text); err != nil || got != text {
				t.Errorf("connection %d got %d of %d bytes, %v", i, len(got), len(text), err)
			}
		})
	}
	all.Wait()
}

// The end of one direction must not end the other, whichever side ends first.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	daemon := fakenet.Listen(t)
	heard := make(chan string, 1)
	serveEach(t, daemon, func(conn Conn) {
		_, _ = io.WriteString(conn, "bye")
		_ = conn.CloseWrite() // the daemon ends first, and still listens
		all, _ := io.ReadAll(conn)
		heard <- string(all)
	})
	_, addr := startGate(t, key, portOf(daemon))
	relay := startRelay(t, RelayConfig{Port: portOf(daemon), Key: key, Gate: func() string { return addr }})
	guest := dial(t, "unix", relay.config.Socket)
	if _, err := io.WriteString(guest, "first"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(guest); string(got) != "bye" || err != nil {
		t.Fatalf("the guest got %q, %v", got, err)
	}
	if got, err := ask(guest, " then last"); got != "" || err != nil {
		t.Errorf("after the end: %q, %v", got, err)
	}
	if got := <-heard; got != "first then last" {
		t.Errorf("the daemon heard %q", got)
	}
}

// A guest that ends its side without a byte is carried like any other.
func TestEmptyRequestStillGetsItsAnswer(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	daemon := fakenet.Listen(t)
	serveEach(t, daemon, func(conn Conn) { _, _ = io.WriteString(conn, "banner") })
	_, addr := startGate(t, key, portOf(daemon))
	relay := startRelay(t, RelayConfig{Port: portOf(daemon), Key: key, Gate: func() string { return addr }})
	if got, err := ask(dial(t, "unix", relay.config.Socket), ""); got != "banner" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// A torn stream must not look like a complete one.
func TestResetIsPassedOnAsAReset(t *testing.T) {
	t.Parallel()
	near, a := tcpPair(t)
	b, far := tcpPair(t)
	done := make(chan error, 1)
	go func() { done <- Splice(context.Background(), a, b, &Counters{}) }()
	if _, err := io.WriteString(near, "half a req"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	abort(near)
	if _, err := io.ReadAll(far); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the far side read %v, want a reset", err)
	}
	if err := <-done; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Splice = %v", err)
	}
}

func TestRelayBound(t *testing.T) {
	t.Parallel()
	var dials atomic.Int64
	relay := startRelay(t, RelayConfig{Port: 1, Key: testKey(t), Gate: func() string { dials.Add(1); return "" }})
	open := make([]Conn, MaxRelayConns)
	for i := range open {
		open[i] = dial(t, "unix", relay.config.Socket)
	}
	eventually.True(t, "all are open", func() bool { return relay.Stats().Active == MaxRelayConns })
	over := dial(t, "unix", relay.config.Socket)
	if n, err := over.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("connection 257 reads %d, %v", n, err)
	}
	if stats := relay.Stats(); stats.Refused != 1 || stats.Active != MaxRelayConns || dials.Load() != 0 {
		t.Errorf("stats %+v, %d dials: nothing may be dialled before the first byte", stats, dials.Load())
	}
	_ = open[0].Close()
	eventually.True(t, "a place is free again", func() bool { return relay.Stats().Active == MaxRelayConns-1 })
	if _, err := ask(dial(t, "unix", relay.config.Socket), "x"); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	eventually.True(t, "the newcomer was served", func() bool { return dials.Load() == 2 })
}

func TestSilentGuestIsLetGo(t *testing.T) {
	t.Parallel()
	relay := startRelay(t, RelayConfig{Port: 1, Key: testKey(t), Gate: func() string { return "" }, halfOpen: 50 * time.Millisecond})
	conn := dial(t, "unix", relay.config.Socket)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a silent guest reads %v", err)
	}
	if stats := relay.Stats(); stats.Failed != 0 || stats.Refused != 1 {
		t.Errorf("stats %+v", stats)
	}
}

func TestBundleGoesAndComesBackElsewhere(t *testing.T) {
	t.Parallel()
	key, port := testKey(t), echoDaemon(t)
	var addr atomic.Value
	addr.Store("")
	relay := startRelay(t, RelayConfig{Port: port, Key: key, Gate: func() string { return addr.Load().(string) }})
	try := func() string {
		got, _ := ask(dial(t, "unix", relay.config.Socket), "hi")
		return got
	}
	if got := try(); got != "" || !errors.Is(relay.Stats().Last, ErrGateDown) {
		t.Errorf("without a bundle: %q, %v", got, relay.Stats().Last)
	}
	addr.Store(fakenet.FreeAddr(t))
	if got := try(); got != "" || !errors.Is(relay.Stats().Last, syscall.ECONNREFUSED) { // and not a time that was over
		t.Errorf("with a dead bundle: %q, %v", got, relay.Stats().Last)
	}
	for range 2 {
		_, now := startGate(t, key, port)
		addr.Store(now)
		if got := try(); got != "hi" {
			t.Errorf("with a bundle at %s: %q, %v", now, got, relay.Stats().Last)
		}
	}
}

func TestCloseCutsAndWaits(t *testing.T) {
	t.Parallel()
	key := testKey(t)
	daemon := fakenet.Listen(t)
	serveEach(t, daemon, func(conn Conn) { _, _ = io.Copy(conn, conn) })
	_, addr := startGate(t, key, portOf(daemon))
	relay := startRelay(t, RelayConfig{Port: portOf(daemon), Key: key, Gate: func() string { return addr }})
	busy, silent := dial(t, "unix", relay.config.Socket), dial(t, "unix", relay.config.Socket)
	if _, err := io.WriteString(busy, "ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(busy, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := relay.Close(); err != nil {
			t.Error(err)
		}
	}
	if active := relay.Stats().Active; active != 0 {
		t.Errorf("%d connections outlive Close", active)
	}
	for _, conn := range []Conn{busy, silent} {
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("after Close a guest reads %d, %v", n, err)
		}
	}
	if _, err := os.Lstat(relay.config.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}
