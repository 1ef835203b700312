//go:build linux

package store

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bottle.internal/internal/execx"
)

func TestProcess(t *testing.T) {
	t.Parallel()
	self, err := ProcessOf(os.Getpid())
	if err != nil || !self.Alive() {
		t.Fatalf("%+v, %v", self, err)
	}
	other := self
	other.Start++
	if other.Alive() {
		t.Error("another process with our id passes for us")
	}
	if (Process{}).Alive() {
		t.Error("no process is alive")
	}
	zombie, err := execx.Start(t.Context(), execx.Cmd{Path: "/bin/sh", Args: []string{"-c", "exit 0"}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := ProcessOf(zombie.Pid())
	if err == nil {
		if err := p.WaitGone(t.Context()); err != nil { // not reaped yet
			t.Error(err)
		}
	}
	_ = zombie.Wait()
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (a) b) (c) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42 100"))
	f.Add([]byte("1 ()"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _, _ = parseStat(data) })
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	start, state, err := parseStat([]byte("1 (a) b) (c) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42 100"))
	if start != 42 || state != 'S' || err != nil {
		t.Errorf("%d %c %v", start, state, err)
	}
}

// Not parallel: a process that another test forks holds this test's listener until its exec.
func TestUnixSocketsOfAnyLength(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("long-", 40), "control.sock")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time over what the first left
		listener, err := ListenUnix(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}()
		conn, err := DialUnix(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte("x"))
		_ = conn.CloseWrite()
		if got, err := io.ReadAll(conn); string(got) != "x" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		<-done
		_, _ = conn.Close(), listener.Close()
	}
	if _, err := DialUnix(t.Context(), path); err == nil {
		t.Error("nobody listens")
	}
	var opErr *net.OpError
	if _, err := DialUnix(t.Context(), filepath.Join(t.TempDir(), "no", "s")); err == nil || errors.As(err, &opErr) {
		t.Errorf("without a directory: %v", err)
	}
}
