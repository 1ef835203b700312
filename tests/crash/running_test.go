//go:build integration

package crash

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bottle.internal/tests/integration/rig"
)

// owner is a bottle that runs until somebody ends it.
type owner struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// start runs an agent that does not end by itself, and waits until it runs.
func (w *world) start(t *testing.T, stderr io.Writer, args ...string) *owner {
	t.Helper()
	o := &owner{cmd: exec.Command(w.Bottle, args...), ended: make(chan struct{})}
	o.cmd.Env, o.cmd.Dir, o.cmd.Stderr = w.Env, w.Dir, stderr
	stdout, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{})
	go func() {
		defer close(o.ended)
		buffer := make([]byte, 1)
		if n, _ := stdout.Read(buffer); n > 0 {
			close(up)
		}
		_, _ = io.Copy(io.Discard, stdout)
		_ = o.cmd.Wait()
	}()
	t.Cleanup(func() { _ = o.cmd.Process.Kill(); <-o.ended })
	select {
	case <-up:
	case <-o.ended:
		t.Fatalf("bottle %s ended before its agent ran: %v", strings.Join(args, " "), o.cmd.ProcessState)
	case <-time.After(2 * time.Minute):
		t.Fatal("the agent does not come up")
	}
	return o
}

func (o *owner) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := o.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// end waits for the exit code.
func (o *owner) end(t *testing.T) int {
	t.Helper()
	select {
	case <-o.ended:
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	return o.cmd.ProcessState.ExitCode()
}

// Whoever reads what bottle says may go away: bottle must not die of it, and its end is
// told to nobody.
func TestNobodyReadsStderr(t *testing.T) {
	w := newWorld(t, true)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o := w.start(t, write, "start", "cr-slow", "--yes")
	_ = write.Close()
	_ = read.Close()
	id := w.list(t)[0].Identity
	w.run(t, "stop", id)
	if code := o.end(t); code == -1 {
		t.Errorf("it died: %v", o.cmd.ProcessState)
	}
	if left := w.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	// Of its own accord, too: it is kept.
	read, write, err = os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o = w.start(t, write, "start", "cr-slow", "--yes")
	_ = write.Close()
	_ = read.Close()
	o.signal(t, syscall.SIGTERM)
	if code := o.end(t); code == -1 {
		t.Errorf("it died: %v", o.cmd.ProcessState)
	}
	if rows := w.list(t); len(rows) != 1 || rows[0].State != "stopped" {
		t.Errorf("list: %v, want one that is stopped", rows)
	}
}

// proxy is an engine's socket that can go away.
type proxy struct {
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
	wait     sync.WaitGroup
}

func startProxy(t *testing.T, path string) *proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener}
	p.wait.Go(p.serve)
	t.Cleanup(p.stop)
	return p
}

func (p *proxy) serve() {
	for {
		guest, err := p.listener.Accept()
		if err != nil {
			return
		}
		host, err := (&net.Dialer{}).DialContext(context.Background(), "unix", "/var/run/docker.sock")
		if err != nil {
			_ = guest.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, guest, host)
		p.mu.Unlock()
		p.wait.Go(func() { splice(guest, host) })
		p.wait.Go(func() { splice(host, guest) })
	}
}

func splice(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.(*net.UnixConn).CloseWrite()
}

func (p *proxy) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.wait.Wait()
}

// An engine that stops under a bottle: nothing is forgotten, and the next cleanup that
// finds the engine takes it away.
func TestEngineStops(t *testing.T) {
	w := newWorld(t, true)
	direct := w.Env
	socket := filepath.Join(w.Dir, "e.sock")
	p := startProxy(t, socket)
	w.Env = rig.Set(w.Env, "DOCKER_HOST=unix://"+socket)
	o := w.start(t, nil, "start", "cr-slow", "--yes")
	p.stop()
	o.signal(t, syscall.SIGTERM)
	if code := o.end(t); code == 0 || code == -1 {
		t.Errorf("exit %d: %v", code, o.cmd.ProcessState)
	}
	if rows := w.list(t); len(rows) != 1 || rows[0].State != "orphaned" {
		t.Errorf("list: %v, want an orphan", rows)
	}
	result, err := w.Run(t.Context(), "cleanup", "--yes")
	if err != nil || result.Code != 1 || !strings.Contains(result.Stderr, "the Docker Engine does not answer") {
		t.Errorf("cleanup without an engine: %v, %s", err, result)
	}
	if rows := w.list(t); len(rows) != 1 {
		t.Errorf("list: %v: it is forgotten", rows)
	}
	w.Env = direct
	w.check(t, "the engine stopped")
}

// Several cleanups at once are as good as one.
func TestCleanupsAtOnce(t *testing.T) {
	w := newWorld(t, true)
	for range 3 {
		w.crash(t, "the phase running #1", "start", "cr-good", "--yes")
	}
	rows := w.list(t)
	if len(rows) != 3 {
		t.Fatalf("list: %v", rows)
	}
	// One of them has half a status only, and one none.
	half := filepath.Join(w.StateDir(), rows[0].Identity, "status.json")
	if err := os.WriteFile(half, []byte(`{"identity": "cr-goo`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(w.StateDir(), rows[1].Identity, "status.json")); err != nil {
		t.Fatal(err)
	}
	result, err := w.Run(t.Context(), "list", "--format=json")
	if err != nil || strings.Count(result.Stdout, `"state": "orphaned"`) != 3 {
		t.Errorf("list: %v, %s", err, result)
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			result, err := w.Run(t.Context(), "cleanup", "--yes")
			if err != nil || result.Code != 0 {
				t.Errorf("cleanup: %v, %s", err, result)
			}
		})
	}
	both.Wait()
	if left := w.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	w.decoysLive(t)
}

// A cleanup has no part in a bottle that is being started, or taken down.
func TestCleanupBesideAStart(t *testing.T) {
	w := newWorld(t, true)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
			}
			result, err := w.Run(t.Context(), "cleanup", "--yes", "--stopped")
			if err != nil || result.Code != 0 || strings.Contains(result.Stdout, "state ") {
				t.Errorf("cleanup: %v, %s", err, result)
			}
		}
	}()
	for range 3 {
		w.run(t, "start", "cr-good", "--yes")
	}
	close(done)
	<-ended
	if left := w.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// On a full disk nothing starts, and nothing stands in the way of what has to go.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		rig.Need(t, "root", errors.New("a small file system can be mounted by root only"))
	}
	w := newWorld(t, true)
	home := filepath.Dir(w.StateDir())
	// A start wants more than what fills in a moment: the disk shrinks before it is filled.
	if err := syscall.Mount("tmpfs", home, "tmpfs", 0, "size=3g,mode=0700"); err != nil {
		rig.Need(t, "root", err)
	}
	resize := func(size string) {
		t.Helper()
		if err := syscall.Mount("", home, "", syscall.MS_REMOUNT, "size="+size); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = syscall.Unmount(home, syscall.MNT_DETACH) })
	fill := func() {
		resize("1m")
		file, err := os.Create(filepath.Join(home, "full"))
		if err == nil {
			_, err = io.Copy(file, zeros{})
			_ = file.Close()
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("the control: the disk is not full: %v", err)
		}
	}
	o := w.start(t, nil, "start", "cr-slow", "--yes")
	fill()
	result, err := w.Run(t.Context(), "start", "cr-good", "--yes")
	if err != nil || result.Code != 1 || !strings.Contains(result.Stderr, "only 0 MiB are free for the state in "+w.StateDir()) {
		t.Errorf("start on a full disk: %v, %s", err, result)
	}
	w.run(t, "stop", "--all")
	if code := o.end(t); code == -1 {
		t.Errorf("it died: %v", o.cmd.ProcessState)
	}
	if left := w.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if err := os.Remove(filepath.Join(home, "full")); err != nil {
		t.Fatal(err)
	}
	resize("3g")
	w.crash(t, "the phase running #1", "start", "cr-good", "--yes")
	fill()
	w.run(t, "cleanup", "--yes")
	if left := w.left(t); len(left) > 0 {
		t.Errorf("left after the cleanup: %v", left)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
