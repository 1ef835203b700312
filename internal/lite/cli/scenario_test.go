//go:build linux

package cli_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/lite/store"
)

// lifecycles are what machines must do, whatever runs them.
func lifecycles() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"lifecycle": testLifecycle, "sockets": testSockets, "two machines": testTwo,
		"kill -9 of the supervisor": testKillSupervisor, "kill -9 of QEMU": testKillQEMU, "reboot": testReboot,
	}
}

// uses need a running machine "a", which they share.
func uses() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"exec": testExec, "stdin": testStdin, "terminal": testTerminal,
		"client dies": testClientDies, "signals": testSignals, "cp": testCopy,
	}
}

func (w *world) upForUses(t *testing.T) {
	t.Helper()
	w.up(t, "a", "-e", "OVER=machine", "-e", "MACHINE=1")
}

func TestScenariosWithAFakeQEMU(t *testing.T) {
	t.Parallel()
	for name, run := range lifecycles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, newFakeWorld(t))
		})
	}
	shared := newFakeWorld(t)
	shared.upForUses(t)
	for name, run := range uses() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, shared)
		})
	}
}

func testLifecycle(t *testing.T, w *world) {
	check(t, w.lite(t, "machine", "ls"), result{stdout: "No machines found\n"})
	check(t, w.lite(t, "machine", "create", "--name", "a", "--from", w.artifact, "--overlay", "1"), result{
		stdout: "Extracting .smolmachine assets...\nCreated machine: a\n  CPUs: 1, Memory: 384 MiB\n\n" +
			"Use 'smolvm-lite machine start --name a' to start the machine\n" +
			"Then use 'smolvm-lite machine exec --name a -- <command>' to run commands\n",
	})
	duplicate := "Error: config operation failed: create machine: machine 'a' already exists\n"
	check(t, w.lite(t, "machine", "create", "--name", "a", "--from", w.artifact), result{
		code: 1, stdout: "Extracting .smolmachine assets...\n", stderr: duplicate,
	})
	check(t, w.lite(t, "machine", "status", "--name", "a"), result{stdout: "Machine 'a': created\n"})
	check(t, w.lite(t, "machine", "exec", "--name", "a", "--", "true"), result{code: 1, stderr: "Error: agent operation failed: " +
		"connect: machine 'a' is not running. Use 'smolvm-lite machine start --name a' first.\n"})
	check(t, w.lite(t, "machine", "stop", "--name", "a"), result{stdout: "Machine 'a' is not running (state: created)\n"})

	started := w.must(t, "machine", "start", "--name", "a")
	pid := w.pid(t, "a")
	if want := fmt.Sprintf("Machine 'a' running (PID: %d)\n", pid); started != want {
		t.Errorf("start printed %q, want %q", started, want)
	}
	again := fmt.Sprintf("Machine 'a' already running (PID: %d)\n", pid)
	check(t, w.lite(t, "machine", "start", "--name", "a"), result{stdout: again})
	check(t, w.sh(t, "a", "mkdir -p "+w.guestDir+" && echo kept > "+w.guestDir+"/file"), result{})

	check(t, w.lite(t, "machine", "stop", "--name", "a"), result{stdout: "Stopping machine 'a'...\nStopped machine: a\n"})
	if alive(pid) {
		t.Error("the supervisor outlived stop")
	}
	check(t, w.lite(t, "machine", "status", "--name", "a"), result{stdout: "Machine 'a': stopped\n"})
	w.must(t, "machine", "start", "--name", "a")
	check(t, w.sh(t, "a", "cat "+w.guestDir+"/file"), result{stdout: "kept\n"})

	check(t, w.lite(t, "machine", "delete", "--name", "a"), result{
		stdout: "Cancelled\n", stderr: "Delete machine 'a'? [y/N] ",
	})
	check(t, w.lite(t, "machine", "delete", "--name", "a", "-f"), result{
		stdout: "Cleaning up data directory for vm: a\nDeleted machine: a\n",
	})
	check(t, w.lite(t, "machine", "delete", "--name", "a", "-f"), result{code: 1, stderr: "Error: vm not found: a\n"})
	check(t, w.lite(t, "machine", "ls", "--json"), result{stdout: "[]\n"})
}

func testExec(t *testing.T, w *world) {
	for _, test := range []struct {
		script string
		want   result
	}{
		{"exit 0", result{}},
		{"exit 1", result{code: 1}},
		{"echo out; echo err >&2; exit 7", result{code: 7, stdout: "out\n", stderr: "err\n"}},
		{"kill -9 $$", result{code: 137}},
		{"kill -TERM $$", result{code: 143}},
		{"cat", result{}}, // without -i stdin is /dev/null
		{"echo $IMAGE $OVER $MACHINE $HOME", result{stdout: "1 machine 1 /root\n"}},
		{"head -c 200000 /dev/zero | tr '\\0' x | wc -c", result{stdout: "200000\n"}},
	} {
		check(t, w.sh(t, "a", test.script), test.want)
	}
	// What runs on in the background holds the pipes, but not the client.
	pid := strings.TrimSpace(w.must(t, "machine", "exec", "--name", "a", "--", "/bin/sh", "-c", "sleep 100 & echo $!"))
	check(t, w.sh(t, "a", "kill "+pid), result{})
	long := w.sh(t, "a", "head -c 3000000 /dev/zero")
	if len(long.stdout) != 3000000 || long.code != 0 {
		t.Errorf("%d bytes arrived, code %d", len(long.stdout), long.code)
	}
	spawn := "Error: agent operation failed: vm exec: failed to spawn command: No such file or directory (os error 2)\n"
	exec := func(args ...string) result {
		return w.lite(t, append([]string{"machine", "exec", "--name", "a"}, args...)...)
	}
	check(t, exec("--", "no-such-program"), result{code: 1, stderr: spawn})
	check(t, exec("-w", "/usr", "-e", "OVER=exec", "--", "/bin/sh", "-c", "pwd; echo $OVER"), result{stdout: "/usr\nexec\n"})
	check(t, exec("-w", "/no/such", "--", "/bin/true"), result{code: 1, stderr: "Error: agent operation failed: vm exec: " +
		"working directory /no/such: No such file or directory (os error 2)\n"})
	var late result
	for _, limit := range []string{"300", "3000", "30000"} { // for a machine that is slow to say anything
		late = exec("--timeout", limit+"ms", "--", "/bin/sh", "-c", "echo early; sleep 100")
		if late.stdout == "early\n" {
			break
		}
		check(t, late, result{code: 124, stderr: "\ncommand timed out after " + limit + "ms\n"})
	}
	if late.stdout != "early\n" || late.code != 124 || !strings.HasPrefix(late.stderr, "\ncommand timed out after ") {
		t.Errorf("a command that takes too long: %+v", late)
	}
	check(t, exec("/bin/echo", "-n", "--", "-i"), result{stdout: "-- -i"}) // all that follows is the command's
	check(t, exec("--stream", "--", "/bin/sh", "-c", "echo out; echo err >&2"), result{stdout: "out\n", stderr: "err\n"})

	const limit = 11 << 20
	check(t, exec("--", "/bin/sh", "-c", fmt.Sprintf("head -c %d /dev/zero", limit+1)), result{
		code: 1, stderr: "Error: agent operation failed: command output exceeded the 11534336 byte limit: use -i for more\n",
	})
	if r := exec("-i", "--", "/bin/sh", "-c", fmt.Sprintf("head -c %d /dev/zero", limit+1)); len(r.stdout) != limit+1 {
		t.Errorf("-i passed %d bytes on: %q", len(r.stdout), r.stderr)
	}
	check(t, w.lite(t, "machine", "exec", "--name", "b", "--", "true"), result{code: 1, stderr: "Error: vm not found: b\n"})
}

func testStdin(t *testing.T, w *world) {
	ctx, cancel := context.WithTimeout(t.Context(), w.patience)
	defer cancel()
	exec := func(stdin io.Reader, script string) result {
		return w.run(ctx, call{stdin: stdin, args: []string{"machine", "exec", "--name", "a", "-i", "--", "/bin/sh", "-c", script}})
	}
	check(t, exec(strings.NewReader("hello"), "cat; echo; exit 3"), result{stdout: "hello\n", code: 3})
	check(t, exec(nil, "cat; echo end"), result{stdout: "end\n"}) // /dev/null

	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB: many windows
	want := fmt.Sprintf("%x  -\n", sha256.Sum256(data))
	check(t, exec(bytes.NewReader(data), "sha256sum"), result{stdout: want})
	if r := exec(bytes.NewReader(data), "cat"); r.stdout != string(data) {
		t.Errorf("cat returned %d bytes, code %d, %s", len(r.stdout), r.code, r.stderr)
	}
	check(t, exec(bytes.NewReader(data), "exec <&-; echo deaf"), result{stdout: "deaf\n"})

	// A stdin that stays open and silent must not keep a command that has ended.
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = write.Close() }()
	check(t, exec(read, "echo done"), result{stdout: "done\n"})
}

func testTerminal(t *testing.T, w *world) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = master.Close() }()
	if err := pty.Setsize(master, &pty.Winsize{Rows: 33, Cols: 77}); err != nil {
		t.Fatal(err)
	}
	// The size comes by a message that nobody acknowledges.
	script := "stty size; echo $TERM; read line; until [ \"$(stty size)\" = '40 100' ]; do sleep 0.02; done; stty size; echo got $line; exit 5"
	process, err := execx.Start(t.Context(), execx.Cmd{
		Path: w.program, Env: w.env, Stdin: slave, Stdout: slave, Stderr: slave,
		Args: []string{"machine", "exec", "--name", "a", "-it", "--", "/bin/sh", "-c", script},
	})
	_ = slave.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := master.SetDeadline(time.Now().Add(w.patience)); err != nil {
		t.Fatal(err)
	}
	screen := readUntil(t, master, "vt100\r\n")
	if screen != "33 77\r\nvt100\r\n" {
		t.Errorf("the terminal shows %q", screen)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 40, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	// The client is not in the session of this terminal: tell it what the kernel would.
	if err := process.Signal(syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	if _, err := master.WriteString("word\r"); err != nil {
		t.Fatal(err)
	}
	if screen := readUntil(t, master, "got word\r\n"); screen != "word\r\n40 100\r\ngot word\r\n" {
		t.Errorf("the terminal shows %q", screen)
	}
	if got := fmt.Sprint(process.Wait()); !strings.HasPrefix(got, "smolvm-lite: exit status 5") {
		t.Errorf("exec ended with %s", got)
	}
}

func readUntil(t *testing.T, file *os.File, end string) string {
	t.Helper()
	var screen []byte
	buffer := make([]byte, 1024)
	for !strings.HasSuffix(string(screen), end) {
		n, err := file.Read(buffer)
		screen = append(screen, buffer[:n]...)
		if err != nil {
			t.Fatalf("the terminal shows %q: %v", screen, err)
		}
	}
	return string(screen)
}

func alive(pid int) bool {
	process, err := store.ProcessOf(pid)
	return err == nil && process.Alive()
}

func serveUnix(t *testing.T, path string, handle func(*net.UnixConn)) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := store.ListenUnix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				handle(conn.(*net.UnixConn))
			}()
		}
	}()
}
