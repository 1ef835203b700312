//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/execx"
	"bottle.internal/internal/guestapi"
)

func TestExecReportsTheExitCode(t *testing.T) {
	t.Parallel()
	dir := newDir(t, map[string]string{"PATH": "/nowhere:.:/usr/bin:/bin"})
	for name, content := range map[string]string{
		"plain": "text", "noexec": "text", "badinterp": "#!/no/such/shell\n", "bad": "text",
	} {
		mode := os.FileMode(0o700)
		if name == "noexec" {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name    string
		command []string
		code    int
		message string
	}{
		{"success", []string{"true"}, 0, ""},
		{"failure", []string{"sh", "-c", "exit 3"}, 3, ""},
		{"largest", []string{"sh", "-c", "exit 255"}, 255, ""},
		{"killed", []string{"sh", "-c", "kill -9 $$"}, 137, ""},
		{"terminated", []string{"sh", "-c", "kill -TERM $$"}, 143, ""},
		{"not on PATH", []string{"no-such-program"}, 127, "no-such-program: command not found"},
		{"not in the workdir though PATH has a dot", []string{"plain"}, 127, "plain: command not found"},
		{"no file", []string{"./no-such-program"}, 127, "./no-such-program: no such file, or its interpreter is missing"},
		{"no interpreter", []string{"./badinterp"}, 127, "./badinterp: no such file, or its interpreter is missing"},
		{"not executable", []string{"./noexec"}, 126, "./noexec: user agent may not execute it in " + dir},
		{"directory", []string{"/etc"}, 126, "/etc: user agent may not execute it in " + dir},
		{"not a program", []string{"./bad"}, 126, "./bad: not a program for this machine"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want := result{code: test.code, stderr: guestapi.Frame(nonce, test.code)}
			if test.message != "" {
				want.stderr = "bottle-guest: " + test.message + "\n" + want.stderr
			}
			if got := guestRun(t, dir, nil, execArgs(dir, test.command...)...); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestExecNeedsItsWorkdir(t *testing.T) {
	t.Parallel()
	got := guestRun(t, newDir(t, nil), nil, execArgs("/no/such/dir", "true")...)
	want := "bottle-guest: working directory /no/such/dir: no such directory\n" + guestapi.Frame(nonce, 126)
	if got.stderr != want || got.code != 126 {
		t.Errorf("got %+v", got)
	}
}

func TestExecWithTooLongAVariable(t *testing.T) {
	t.Parallel()
	got := guestRun(t, newDir(t, map[string]string{"BIG": strings.Repeat("x", 1<<18)}), nil, execArgs("/", "true")...)
	want := "bottle-guest: true: its arguments and environment are too long\n" + guestapi.Frame(nonce, 126)
	if got.stderr != want || got.code != 126 {
		t.Errorf("got %+v", got)
	}
}

func TestExecStreams(t *testing.T) {
	t.Parallel()
	dir := newDir(t, nil)
	got := guestRun(t, dir, nil, execArgs(dir, "sh", "-c", "pwd; echo problem >&2")...)
	if got.stdout != dir+"\n" || got.stderr != "problem\n"+guestapi.Frame(nonce, 0) {
		t.Errorf("got %+v", got)
	}
}

// The agent sees /proc/PID/cmdline of its parent; with the nonce it could forge a frame.
func TestNonceIsNotVisible(t *testing.T) {
	t.Parallel()
	dir := newDir(t, nil)
	got := guestRun(t, dir, nil, execArgs(dir, "sh", "-c", "tr '\\0' ' ' < /proc/$PPID/cmdline")...)
	if !strings.Contains(got.stdout, " exec --nonce xxxxxxxxxxxxxxxx --user agent ") {
		t.Errorf("cmdline: %q", got.stdout)
	}
	if got.stderr != guestapi.Frame(nonce, 0) {
		t.Errorf("the frame lost its nonce: %q", got.stderr)
	}
}

// begin starts a script and waits for its first line.
func begin(t *testing.T, script string) (*execx.Process, *bufio.Reader, *os.File) {
	t.Helper()
	dir := newDir(t, nil)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close() })
	process, err := execx.Start(t.Context(), execx.Cmd{
		Path: self(t), Args: execArgs(dir, "sh", "-c", script), Env: []string{dirVariable + "=" + dir}, Stdout: write,
	})
	if err != nil {
		t.Fatal(err)
	}
	write.Close()
	lines := bufio.NewReader(read)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return process, lines, read
}

func TestSignalsReachTheCommand(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGWINCH} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			// The loop is in the shell: dash runs a trap only after a foreground child.
			process, lines, _ := begin(t, fmt.Sprintf("trap 'echo got; exit 9' %d; echo ready; while :; do sleep 0.01; done", s))
			if err := syscall.Kill(process.Pid(), s); err != nil { // not the group: only forwarding can do it
				t.Fatal(err)
			}
			rest, err := io.ReadAll(lines)
			if err != nil || string(rest) != "got\n" {
				t.Errorf("the command printed %q, %v", rest, err)
			}
			exit := (*execx.ExitError)(nil)
			if err := process.Wait(); !errors.As(err, &exit) || exit.Code != 9 || exit.Stderr != guestapi.Frame(nonce, 9) {
				t.Errorf("bottle-guest: %v", err)
			}
		})
	}
}

// When the VM tool drops the connection it kills bottle-guest; the command must not live on.
func TestCommandDiesWithBottleGuest(t *testing.T) {
	t.Parallel()
	process, lines, read := begin(t, "echo ready; exec sleep 600")
	if err := syscall.Kill(process.Pid(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := read.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(lines); err != nil { // ends when sleep, the last writer, is dead
		t.Errorf("the command lives on: %v", err)
	}
	_ = process.Wait()
}

func TestExecDropsRoot(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := newDir(t, map[string]string{"TOKEN": "hunter2"})
	script := `id -u; id -g; id -G; echo direct > /dev/stderr; cat "$HOME/env" || echo unreadable; echo $TOKEN`
	got := guestRun(t, dir, []string{uidVariable + "=12345"}, execArgs("/", "sh", "-c", script)...)
	if got.stdout != "12345\n12345\n12345\nunreadable\nhunter2\n" || !strings.HasPrefix(got.stderr, "direct\n") {
		t.Errorf("got %+v", got)
	}
}

func TestExecNeedsRoot(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("needs another user than root")
	}
	got := guestRun(t, newDir(t, nil), nil, "exec", "--nonce", nonce, "--user", "root", "--workdir", "/", "--", "true")
	if want := fmt.Sprintf("bottle-guest: becoming root: bottle-guest runs as uid %d, want root\n", os.Getuid()); got.stderr != want || got.code != 125 {
		t.Errorf("got %+v", got)
	}
}
