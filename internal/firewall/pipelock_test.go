package firewall_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/firewall"
	"bottle.internal/tests/fakenet"
)

// The real pipelock takes what is rendered, every kind of it. PIPELOCK_BIN names it; this
// repository has no way to make one.
func TestPipelockAcceptsWhatIsRendered(t *testing.T) {
	t.Parallel()
	bin := pipelock(t)
	for name, p := range policies() {
		dir := t.TempDir()
		writeConfig(t, dir, p)
		var stderr bytes.Buffer
		err := execx.Run(t.Context(), execx.Cmd{
			Path: bin, Args: []string{"check", "--config", filepath.Join(dir, firewall.PipelockFile)}, Stderr: &stderr,
		})
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, stderr.String())
		}
	}
}

// It serves with it, and refuses what is not listed.
func TestPipelockServesWhatIsRendered(t *testing.T) {
	t.Parallel()
	bin := pipelock(t)
	dir := t.TempDir()
	writeConfig(t, dir, publicOnly())
	config := filepath.Join(dir, firewall.PipelockFile)
	data, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	// Another port than the fixed one, so that two runs on one machine do not meet.
	data = bytes.Replace(data, []byte("127.0.0.1:9990"), []byte(fakenet.FreeAddr(t)), 1)
	if err := os.WriteFile(config, data, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{t: t, addr: fakenet.FreeAddr(t)}
	process, err := execx.Start(ctx, execx.Cmd{
		Path: bin, Args: []string{"run", "--config", config, "--listen", w.addr},
		Env: []string{"HOME=" + dir}, Dir: dir, Stdout: &w.log, Stderr: &w.log,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = process.Wait()
	}()
	if err := healthy(ctx, w.addr); err != nil {
		t.Fatalf("%v\n%s", err, w.log.String())
	}
	for _, request := range []string{
		connectTo("evil.test:443"), "GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
	} {
		if status, _, _ := w.ask(request); status != http.StatusForbidden {
			t.Errorf("%.30q: %d", request, status)
		}
	}
}

func writeConfig(t *testing.T, dir string, p firewall.Policy) {
	t.Helper()
	for name, text := range texts(render(t, p)) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func pipelock(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("PIPELOCK_BIN")
	if bin == "" {
		t.Skip("PIPELOCK_BIN names no pipelock 2.3.0")
	}
	return bin
}

func healthy(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/health", strings.NewReader(""))
		if err != nil {
			return err
		}
		if response, err := client.Do(request); err == nil {
			_ = response.Body.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pipelock did not answer on %s", addr)
		case <-retry.C:
		}
	}
}
