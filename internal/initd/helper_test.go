//go:build linux

package initd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bottle.internal/internal/control"
	"bottle.internal/internal/execx"
	"bottle.internal/tests/eventually"
	"bottle.internal/tests/logtest"
	"bottle.internal/tests/shortdir"
)

const roleEnv = "INITD_TEST_ROLE"

func testDaemon(name, how string, port uint16) Daemon {
	d := Daemon{Name: name, Args: []string{how, fmt.Sprint(port)}, Env: []string{roleEnv + "=daemon"}}
	if how == "serve" || how == "sick" {
		d.Health = fmt.Sprintf("http://127.0.0.1:%d/health", port)
	}
	return d
}

// quick is DefaultTiming without the waiting. Daemons that end when they are told to get the
// time to say so.
func quick() Timing {
	timing := DefaultTiming()
	timing.Grace, timing.BackoffMin, timing.BackoffMax, timing.Poll = eventually.Patience, 10*time.Millisecond, 40*time.Millisecond, 10*time.Millisecond
	return timing
}

// strict is for daemons that have to be killed.
func strict() Timing {
	timing := quick()
	timing.Grace = time.Second
	return timing
}

// running is an init in a process of its own.
type running struct {
	t        *testing.T
	config   Config
	process  *execx.Process
	host     *control.Host
	stdin    *os.File
	log      *logtest.Buffer
	waitOnce func() error
}

func startInit(t *testing.T, timing Timing, daemons ...Daemon) *running {
	t.Helper()
	dir := shortdir.New(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config := Config{
		Daemons: daemons, Program: program, Timing: timing,
		HealthSocket: filepath.Join(dir, "h"),
	}
	asJSON, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	fromHost, toInit, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromInit, toHost, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, config: config, log: &logtest.Buffer{}, stdin: toInit}
	r.process, err = execx.Start(context.Background(), execx.Cmd{
		Path: program, Env: []string{roleEnv + "=init", "INITD_TEST_CONFIG=" + string(asJSON)},
		Stdin: fromHost, Stdout: toHost, Stderr: r.log,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fromHost.Close(), toHost.Close()
	r.host = control.NewHost(toInit, fromInit)
	r.waitOnce = sync.OnceValue(r.process.Wait)
	t.Cleanup(func() {
		_ = r.process.Signal(syscall.SIGTERM)
		if err := r.waitOnce(); err != nil && !strings.Contains(r.log.String(), "FAILED") {
			t.Errorf("init ended with %v", err)
		}
		_ = r.host.Close()
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	return r
}

// boot sends a bootstrap for all daemons and waits for ready.
func (r *running) boot(b control.Bootstrap) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), eventually.Patience)
	defer cancel()
	if err := r.host.Bootstrap(ctx, b); err != nil {
		r.t.Fatal(err)
	}
	if err := r.host.WaitReady(ctx); err != nil {
		r.t.Fatalf("%v\n%s", err, r.log)
	}
}

// event waits for the next event, which must be of that kind.
func (r *running) event(what control.What) control.Event {
	r.t.Helper()
	select {
	case e, ok := <-r.host.Events():
		if !ok || e.What != what {
			r.t.Fatalf("event %+v (%v), want %s", e, r.host.Err(), what)
		}
		return e
	case <-time.After(eventually.Patience):
		r.t.Fatalf("no event, want %s", what)
	}
	panic("unreachable")
}

// logged waits for a line of the log.
func (r *running) logged(line string) {
	r.t.Helper()
	r.log.AwaitText(r.t, line)
}

// get asks a daemon for a path.
func get(t *testing.T, port uint16, path string) (string, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", path)
	answer, err := io.ReadAll(conn)
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	return body, err
}
