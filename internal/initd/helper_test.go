//go:build linux

package initd

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"bottle.internal/internal/control"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/link"
)

const roleEnv = "INITD_TEST_ROLE"

// The test binary plays init and its daemons too: no shell, no extra build.
func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "init":
		os.Exit(playInit())
	case "daemon":
		os.Exit(playDaemon(os.Args[1], os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

func playInit() int {
	var config Config
	if err := json.Unmarshal([]byte(os.Getenv("INITD_TEST_CONFIG")), &config); err != nil {
		panic(err)
	}
	// PID 1 adopts orphans; so does a subreaper.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	config.Stdin, config.Stdout, config.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := Run(context.Background(), config); err != nil {
		fmt.Fprintln(os.Stderr, "FAILED", err)
		return 1
	}
	return 0
}

func playDaemon(how string, args []string) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGINT)
	fmt.Println("up")
	switch how {
	case "crash":
		return 7
	case "serve", "sick":
		go serveHTTP(args[0], how == "sick")
	case "secrets":
		if os.Getenv(SecretsFDEnv) == "" {
			fmt.Println("no secrets")
			break
		}
		file := os.NewFile(3, "secrets")
		data, err := io.ReadAll(file)
		fmt.Printf("fd=%s %q %v\n", os.Getenv(SecretsFDEnv), data, err)
	case "middle":
		spawn("leaf")
		return 0
	case "leaf":
		fmt.Println("leaf", os.Getpid(), "of", os.Getppid())
		return 0
	case "orphan":
		spawn("middle")
	}
	for sig := range signals {
		fmt.Println("got", sig)
		if sig == syscall.SIGTERM && how != "stubborn" {
			return 0
		}
	}
	return 1
}

func spawn(how string) {
	if _, err := execx.StartDetached(execx.Cmd{Path: os.Args[0], Args: []string{how}, Env: os.Environ()}, os.Stdout); err != nil {
		panic(err)
	}
	time.Sleep(50 * time.Millisecond) // let it begin before its parent ends
}

func serveHTTP(port string, sick bool) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	err := http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // a test helper
		select {
		case <-hup:
			sick = false
		default:
		}
		if sick {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "daemon "+r.URL.Path)
	}))
	fmt.Println(err)
	os.Exit(1)
}

// freePort is free when it is asked for.
func freePort(t *testing.T) uint16 {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // only its number counts
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

func testDaemon(name, how string, port uint16) Daemon {
	d := Daemon{Name: name, Args: []string{how, fmt.Sprint(port)}, Env: []string{roleEnv + "=daemon"}}
	if how == "serve" || how == "sick" {
		d.Health = fmt.Sprintf("http://127.0.0.1:%d/health", port)
	}
	return d
}

// quick is DefaultTiming without the waiting.
func quick() Timing {
	timing := DefaultTiming()
	timing.Grace, timing.BackoffMin, timing.BackoffMax, timing.Poll = 300*time.Millisecond, 10*time.Millisecond, 40*time.Millisecond, 10*time.Millisecond
	return timing
}

// running is an init in a process of its own.
type running struct {
	t        *testing.T
	config   Config
	process  *execx.Process
	host     *control.Host
	stdin    *os.File
	log      *log
	waitOnce func() error
}

type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func startInit(t *testing.T, timing Timing, daemons ...Daemon) *running {
	t.Helper()
	return startInitAt(t, fmt.Sprintf("127.0.0.1:%d", freePort(t)), timing, daemons...)
}

func startInitAt(t *testing.T, gate string, timing Timing, daemons ...Daemon) *running {
	t.Helper()
	dir, err := os.MkdirTemp("", "initd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config := Config{
		Daemons: daemons, Program: program, Timing: timing,
		Gate: gate, HealthSocket: filepath.Join(dir, "h"),
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
	r := &running{t: t, config: config, log: &log{}, stdin: toInit}
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

func newKey(t *testing.T) link.Key {
	t.Helper()
	key, err := link.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// boot sends a bootstrap for all daemons and waits for ready.
func (r *running) boot(b control.Bootstrap) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	if b.LinkKey.IsZero() {
		b.LinkKey = newKey(r.t)
	}
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
	case <-time.After(10 * time.Second):
		r.t.Fatalf("no event, want %s", what)
	}
	panic("unreachable")
}

// logged waits for a line of the log.
func (r *running) logged(line string) {
	r.t.Helper()
	eventually(r.t, "log line "+line, func() bool { return strings.Contains(r.log.String(), line) })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("never happened: %s", what)
}

// get asks a daemon for a path through the gate.
func (r *running) get(key link.Key, port uint16, path string) (string, error) {
	conn, err := link.DialGate(r.t.Context(), r.config.Gate, key, port)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // a test connection
	_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", path)
	answer, err := io.ReadAll(conn)
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	return body, err
}
