package firewall_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bottle.internal/internal/firewall"
)

func writeConfig(t *testing.T, dir string, p firewall.Policy) {
	t.Helper()
	files, err := firewall.Render(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(dir, file.Name), file.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMainRefuses(t *testing.T) {
	t.Parallel()
	dir, bad, linked := t.TempDir(), t.TempDir(), t.TempDir()
	writeConfig(t, dir, https("a.test"))
	writeConfig(t, bad, https("a.test"))
	if err := os.WriteFile(filepath.Join(bad, firewall.PipelockFile), []byte("mode: audit\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{firewall.PipelockFile, firewall.RoutesFile} {
		if err := os.Symlink(filepath.Join(dir, name), filepath.Join(linked, name)); err != nil {
			t.Fatal(err)
		}
	}
	busy := loopback(t).Addr().String()
	const listen = `, such as 127.0.0.1:8888` + "\n"
	for _, test := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"--config", bad}, 1, "bundle firewall: reading pipelock.yaml: mode is \"audit\", only strict is understood\n"},
		{[]string{"--config", t.TempDir()}, 1, "bundle firewall: reading pipelock.yaml: openat pipelock.yaml: no such file or directory\n"},
		{[]string{"--config", linked}, 1, "bundle firewall: reading pipelock.yaml: openat pipelock.yaml: path escapes from parent\n"},
		{[]string{"--config", dir, "--listen", busy}, 1, "bundle firewall: listening on " + busy + ": listen tcp " + busy + ": bind: address already in use\n"},
		{[]string{"--config", dir, "--listen", "0.0.0.0:8888"}, 2, `bundle firewall: --listen "0.0.0.0:8888": only a loopback address and port` + listen},
		{[]string{"--config", dir, "--listen", "8888"}, 2, `bundle firewall: --listen "8888": only a loopback address and port` + listen},
		{[]string{"--nonsense"}, 2, "bundle firewall: unknown flag: --nonsense\n"},
		{[]string{"more"}, 2, "bundle firewall: unexpected argument \"more\"\n"},
	} {
		var stdout, stderr bytes.Buffer
		code := firewall.Main(t.Context(), test.args, &stdout, &stderr)
		if code != test.code || !strings.HasSuffix(stderr.String(), test.stderr) || stdout.Len() != 0 {
			t.Errorf("%v: %d %q %q, want %d %q", test.args, code, stdout.String(), stderr.String(), test.code, test.stderr)
		}
		if strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%v: more than one line:\n%s", test.args, stderr.String())
		}
	}
}

// The program as init runs it: ready, a reload that works, one that does not, the end.
// Not parallel: SIGHUP is for the whole process.
func TestMainServesAndReloads(t *testing.T) { //nolint:paralleltest // signals
	dir := t.TempDir()
	writeConfig(t, dir, https("a.test"))
	w := &world{t: t, log: &logBuffer{notify: make(chan struct{}, 1)}}
	w.addr = freeAddr(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int)
	var stderr bytes.Buffer
	go func() { code <- firewall.Main(ctx, []string{"--config", dir, "--listen", w.addr}, w.log, &stderr) }()
	w.await("ready", nil)

	if status, _, body := w.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); status != http.StatusOK || !strings.Contains(body, `"routes":1`) {
		t.Errorf("%d %s", status, body)
	}
	writeConfig(t, dir, https("a.test", "b.test"))
	hup(t)
	w.await("reload", func(e entry) bool { return e.Problem == "" })
	if _, _, body := w.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.Contains(body, `"routes":2`) {
		t.Error(body)
	}
	if err := os.WriteFile(filepath.Join(dir, firewall.RoutesFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	hup(t)
	e := w.await("reload", func(e entry) bool { return e.Problem != "" })
	if e.Problem != "reading routes.json: version 0, only 1 is understood" {
		t.Errorf("problem %q", e.Problem)
	}
	if _, _, body := w.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.Contains(body, `"routes":2`) {
		t.Errorf("the old policy is gone: %s", body)
	}
	cancel()
	if got := <-code; got != 0 || stderr.Len() != 0 {
		t.Errorf("exit %d, %q", got, stderr.String())
	}
}

func hup(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
