package smolvmtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bottle.internal/pkg/smolvm"
)

// large is more than the modes that we do not use can print.
const large = outputCap + 1<<20

type result struct {
	code        int
	err         error
	out, errOut string
}

func (c *contract) exec(t *testing.T, stdin io.Reader, command ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out, errOut bytes.Buffer
	code, err := c.client.Exec(ctx, smolvm.ExecOptions{
		Name: c.name, Command: command, Stdin: stdin, Stdout: &out, Stderr: &errOut,
	})
	return result{code, err, out.String(), errOut.String()}
}

func (c *contract) mustRun(t *testing.T, command ...string) string {
	t.Helper()
	got := c.exec(t, nil, command...)
	if got.err != nil || got.code != 0 {
		t.Fatalf("%q: %+v", command, got)
	}
	return got.out
}

func (c *contract) exitCodes(t *testing.T) {
	killed := 128 + 9
	if c.client.Tool().Version.Compare(smolvm.Version{Minor: 8, Patch: 1}) < 0 {
		killed = 255
	}
	for script, want := range map[string]int{
		"exit 0": 0, "exit 1": 1, "exit 2": 2, "exit 7": 7, "exit 124": 124, "exit 255": 255, "kill -9 $$": killed,
	} {
		if got := c.exec(t, nil, "sh", "-c", script); got.code != want || got.err != nil {
			t.Errorf("%q: exit code %d, error %v, want %d", script, got.code, got.err, want)
		}
	}
	if got := c.exec(t, nil, "no-such-program-of-ours"); got.code == 0 {
		t.Errorf("a program that does not exist: %+v", got)
	}
}

// guestText: what a program prints must not become a statement about the machine.
func (c *contract) guestText(t *testing.T) {
	for _, text := range []string{"Error: vm not found: " + c.name, "Error: agent operation failed: connect: machine '" + c.name + "' is not running."} {
		got := c.exec(t, strings.NewReader(text+"\n"), "sh", "-c", "cat >&2; exit 1")
		if got.code != 1 || got.err != nil || got.errOut != text+"\n" {
			t.Errorf("a program that prints %q and exits with 1: %+v", text, got)
		}
	}
}

func (c *contract) streams(t *testing.T) {
	got := c.exec(t, nil, "sh", "-c", `printf 'out\000\377'; printf 'err\r\n' >&2`)
	if got.out != "out\x00\xff" || got.errOut != "err\r\n" {
		t.Errorf("streams: %+v", got)
	}
	// Without a stdin the program reads its end at once.
	if out := c.mustRun(t, "cat"); out != "" {
		t.Errorf("cat of nothing: %q", out)
	}
	if out := c.mustRun(t, "sh", "-c", `printf '[%s]' "$@"`, "sh", "a b", "", "-x", "--", "é'\"$HOME"); out != `[a b][][-x][--][é'"$HOME]` {
		t.Errorf("arguments arrive as %s", out)
	}
}

func (c *contract) largeStdin(t *testing.T) {
	data := random(t, 2<<20)
	got := c.exec(t, bytes.NewReader(data), "cat")
	if got.err != nil || got.code != 0 || sha256.Sum256([]byte(got.out)) != sha256.Sum256(data) {
		t.Errorf("cat of %d bytes gave %d other ones: exit code %d, error %v, %q", len(data), len(got.out), got.code, got.err, got.errOut)
	}
}

func (c *contract) largeOutput(t *testing.T) {
	const tail = "the end\n"
	path := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(path, append(make([]byte, large), tail...), 0o600); err != nil {
		t.Fatal(err)
	}
	wantIs(t, "CopyIn", c.client.CopyIn(t.Context(), c.name, path, "/workspace/large"), nil)
	got := c.execIn(t, "/workspace", "cat", "large")
	if got.err != nil || got.code != 0 || len(got.out) != large+len(tail) || !strings.HasSuffix(got.out, tail) {
		t.Errorf("%d of %d bytes arrived: exit code %d, error %v, %q", len(got.out), large+len(tail), got.code, got.err, got.errOut)
	}
}

func (c *contract) execIn(t *testing.T, dir string, command ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	code, err := c.client.Exec(t.Context(), smolvm.ExecOptions{
		Name: c.name, Workdir: dir, Command: command, Stdout: &out, Stderr: &errOut,
	})
	return result{code, err, out.String(), errOut.String()}
}

// openStdin: a program that ends must not wait for an input that never does.
func (c *contract) openStdin(t *testing.T) {
	read, write := io.Pipe()
	defer write.Close()
	began := time.Now()
	if got := c.exec(t, read, "sh", "-c", "exit 3"); got.code != 3 || got.err != nil {
		t.Errorf("with an open stdin: %+v", got)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func (c *contract) cancelledExec(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	changedMind := errors.New("changed our mind")
	seen := &onWrite{do: func() { cancel(changedMind) }}
	began := time.Now()
	_, err := c.client.Exec(ctx, smolvm.ExecOptions{
		Name: c.name, Command: []string{"sh", "-c", "echo begun; exec cat /dev/zero >/dev/null"}, Stdout: seen,
	})
	wantIs(t, "Exec", err, changedMind)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("cancelling took %v", took)
	}
	if out := c.mustRun(t, "sh", "-c", "echo alive"); out != "alive\n" {
		t.Errorf("after a cancelled exec: %q", out)
	}
}

type onWrite struct{ do func() }

func (w *onWrite) Write(p []byte) (int, error) {
	w.do()
	return len(p), nil
}

func (c *contract) copy(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	for name, data := range map[string][]byte{"empty": {}, "small": []byte("kept over a stop\n"), "large": random(t, 3<<20+17)} {
		local, back := filepath.Join(dir, name), filepath.Join(dir, name+".back")
		if err := os.WriteFile(local, data, 0o600); err != nil {
			t.Fatal(err)
		}
		guest := "/workspace/deep/er/" + name
		wantIs(t, "CopyIn "+name, c.client.CopyIn(ctx, c.name, local, guest), nil)
		wantIs(t, "CopyOut "+name, c.client.CopyOut(ctx, c.name, guest, back), nil)
		if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes came back of %d, error %v", name, len(got), len(data), err)
		}
		if got := c.execIn(t, "/workspace/deep/er", "cat", name); got.out != string(data) {
			t.Errorf("%s: a program reads %d bytes of %d: %v", name, len(got.out), len(data), got.err)
		}
	}
	wantIs(t, "CopyIn", c.client.CopyIn(ctx, c.name, filepath.Join(dir, "small"), "/workspace/kept"), nil)
}

func (c *contract) copyFailures(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	before := filepath.Join(dir, "before")
	if err := os.WriteFile(before, []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, guest := range []string{"/workspace/missing", "/workspace/deep"} {
		if err := c.client.CopyOut(ctx, c.name, guest, before); err == nil {
			t.Errorf("%s could be copied out", guest)
		}
	}
	if data, err := os.ReadFile(before); err != nil || string(data) != "as it was" {
		t.Errorf("a failed CopyOut left %q, %v", data, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("a failed CopyOut left %v, %v", entries, err)
	}
	for _, local := range []string{filepath.Join(dir, "missing"), dir} {
		if err := c.client.CopyIn(ctx, c.name, local, "/workspace/x"); err == nil {
			t.Errorf("%s could be copied in", local)
		}
	}
	wantIs(t, "CopyIn", c.client.CopyIn(ctx, c.name+"-other", before, "/workspace/x"), smolvm.ErrNotFound)
}

func random(t *testing.T, size int) []byte {
	t.Helper()
	data := make([]byte, size)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	return data
}
