//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"bottle.internal/internal/guestapi"
)

// console is a terminal on which bottle-guest runs, as the VM tool makes it.
type console struct {
	t      *testing.T
	master *os.File
	proc   *os.Process
	seen   strings.Builder
}

func openConsole(t *testing.T, dir string, controlling bool, args ...string) *console {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	master = pollable(t, master)
	proc, err := os.StartProcess(self(t), append([]string{"bottle-guest"}, args...), &os.ProcAttr{
		Env:   []string{dirVariable + "=" + dir, "TERM=xterm"},
		Files: []*os.File{slave, slave, slave},
		// Without a controlling terminal there is a group of its own at least.
		Sys: &syscall.SysProcAttr{Setsid: controlling, Setctty: controlling},
	})
	if err != nil {
		t.Fatal(err)
	}
	slave.Close()
	t.Cleanup(func() { _ = proc.Kill() })
	return &console{t: t, master: master, proc: proc}
}

// pollable gives back the terminal in a form that honours deadlines, which the pty
// package's own use of the descriptor has switched off.
func pollable(t *testing.T, file *os.File) *os.File {
	t.Helper()
	defer file.Close()
	fd, err := unix.Dup(int(file.Fd()))
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	file = os.NewFile(uintptr(fd), file.Name())
	t.Cleanup(func() { file.Close() })
	return file
}

// until reads until the text appears, and returns everything seen so far.
func (c *console) until(text string) string {
	c.t.Helper()
	if err := c.master.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	for !strings.Contains(c.seen.String(), text) {
		n, err := c.master.Read(buffer)
		if err != nil {
			c.t.Fatalf("waiting for %q: %v; seen so far: %q", text, err, c.seen.String())
		}
		c.seen.Write(buffer[:n])
	}
	return c.seen.String()
}

func (c *console) typeKeys(keys string) {
	c.t.Helper()
	if _, err := c.master.WriteString(keys); err != nil {
		c.t.Fatal(err)
	}
}

// end expects the frame on the terminal and the same code from the process.
func (c *console) end(code int) {
	c.t.Helper()
	c.until(strings.TrimSuffix(guestapi.Frame(nonce, code), "\n") + "\r\n")
	state, err := c.proc.Wait()
	if err != nil || state.ExitCode() != code {
		c.t.Errorf("exit: %v, %v", state, err)
	}
}

func ttyArgs(script string, more ...string) []string {
	args := append([]string{"exec", "--nonce", nonce, "--user", "agent", "--workdir", "/"}, more...)
	return append(args, "--", "sh", "-c", script)
}

// A terminal of the VM tool begins with 0 rows and 0 columns and never changes by itself.
func TestTerminalSize(t *testing.T) {
	t.Parallel()
	dir := newDir(t, nil)
	c := openConsole(t, dir, true, ttyArgs(
		"trap 'stty size; exit 4' WINCH; stty size; echo ready; while :; do sleep 0.01; done",
		"--session", "s1", "--rows", "24", "--cols", "80")...)
	if got := c.until("ready"); got != "24 80\r\nready" && got != "24 80\r\nready\r\n" {
		t.Errorf("at first: %q", got)
	}
	file := filepath.Join(dir, "session", "s1")
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("session file: %v, %v", info, err)
	}
	if got := guestRun(t, dir, nil, "winsize", "s1", "50", "132"); got != (result{}) {
		t.Errorf("winsize: %+v", got)
	}
	c.until("50 132\r\n")
	c.end(4)
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the session outlived its command: %v", err)
	}
	got := guestRun(t, dir, nil, "winsize", "s1", "50", "132")
	if want := (result{"", "bottle-guest: resizing session s1: there is no such session\n", 125}); got != want {
		t.Errorf("winsize: %+v", got)
	}
}

func TestWinsizeOpensOnlyTerminalsOfSessions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "session"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "session", "s"), []byte("/dev/sda\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	code := run([]string{"winsize", "s", "1", "1"}, testMachine(dir), &stderr)
	if code != 125 || stderr.String() != "bottle-guest: resizing session s: \"/dev/sda\" is no terminal\n" {
		t.Errorf("%d %q", code, stderr.String())
	}
}

// ^C must reach the command once, and only the command.
func TestInterruptKey(t *testing.T) {
	t.Parallel()
	c := openConsole(t, newDir(t, nil), true,
		ttyArgs("n=0; trap 'n=$((n+1)); echo int $n' INT; trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done")...)
	c.until("ready")
	c.typeKeys("\x03")
	c.until("int 1")
	if err := c.proc.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.end(7)
	if strings.Contains(c.seen.String(), "int 2") {
		t.Errorf("one key, two signals: %q", c.seen.String())
	}
}

func TestInterruptKeyKills(t *testing.T) {
	t.Parallel()
	c := openConsole(t, newDir(t, nil), true, ttyArgs("echo ready; exec sleep 600")...)
	c.until("ready")
	c.typeKeys("\x03")
	c.end(130)
}

// Nobody above could say "fg": a stopped command goes on.
func TestStopKeyDoesNotHang(t *testing.T) {
	t.Parallel()
	c := openConsole(t, newDir(t, nil), true, ttyArgs("echo ready; read line; echo got $line; stty tostop; exit 5")...)
	c.until("ready")
	c.typeKeys("\x1a")
	c.typeKeys("hello\r")
	c.until("got hello")
	c.end(5) // in spite of tostop
}

// The command may leave the terminal such that a background program cannot write.
func TestFrameInSpiteOfTostop(t *testing.T) {
	t.Parallel()
	c := openConsole(t, newDir(t, nil), true, ttyArgs("stty tostop; exit 6")...)
	c.end(6)
}

func TestCommandHasTheForeground(t *testing.T) {
	t.Parallel()
	c := openConsole(t, newDir(t, nil), true,
		ttyArgs(`set -- $(cat /proc/$$/stat); [ "$5" = "$8" ] && echo foreground; tty < /dev/tty; echo to the tty > /dev/tty`)...)
	c.until("foreground")
	c.until("to the tty")
	c.end(0)
}

// A tool may give us a terminal that is not our controlling one.
func TestTerminalWithoutSession(t *testing.T) {
	t.Parallel()
	c := openConsole(t, newDir(t, nil), false, ttyArgs("echo ready; exec sleep 600")...)
	c.until("ready")
	c.typeKeys("\x03")
	c.end(130)
}
