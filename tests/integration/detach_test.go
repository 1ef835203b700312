//go:build integration

package integration

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"bottle.internal/tests/eventually"
)

// detached starts a bottle of it-tty that outlives its command.
func (w *world) detached(t *testing.T) string {
	t.Helper()
	got := w.bottle(t, "start", "it-tty", "--detach", "--yes")
	id := strings.TrimSpace(got.Stdout)
	if got.Code != 0 || !strings.HasPrefix(id, "it-tty-") {
		t.Fatalf("start --detach: %s", got)
	}
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(w.StateDir(), id)); err == nil {
			_, _ = w.Run(context.WithoutCancel(t.Context()), "stop", id) // else the end of all tests says so
		}
	})
	return id
}

func (w *world) attach(t *testing.T, size *pty.Winsize, args ...string) *process {
	t.Helper()
	p, err := w.startOnTerminal(size, append([]string{"attach"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.finish)
	return p
}

// showed is said for a process that has ended: its last words may still be on their way
// through the terminal.
func (p *process) showed(t *testing.T, text string) {
	t.Helper()
	eventually.Fine(t, eventually.Patience, func() string {
		if strings.Contains(p.stdout.String(), text) {
			return ""
		}
		return "it has not shown " + text + ":\n" + p.String()
	})
}

const detachKeys = "\x10\x11"

// SECURITY-RULES 16, and the life of a detached bottle: attach, type, resize, detach, come
// back to the same screen, look on, and end with the agent's exit code.
func TestDetached(t *testing.T) {
	w := setup(t)
	id := w.detached(t)
	p := w.attach(t, &pty.Winsize{Rows: 31, Cols: 97}, id)
	p.said(t, "bash-")
	followed(t, p, "size=31 97 term=xterm")
	if err := pty.Setsize(p.terminal, &pty.Winsize{Rows: 20, Cols: 55}); err != nil {
		t.Fatal(err)
	}
	followed(t, p, "size=20 55 term=xterm")
	// What a terminal would obey does not reach it; what draws does.
	p.types(t, `printf '\033]52;c;ZXZpbA==\007\033P$qm\033\\\033[21t\033[?1049h\033[?25l\033[32mgre%s' en; sleep 1; printf 'done%s\n' ''`+"\n")
	p.said(t, "\x1b[?1049h\x1b[?25l\x1b[32mgreen")
	p.said(t, "done\r\n")
	p.types(t, detachKeys)
	if code := p.end(t, 30*time.Second); code != 0 {
		t.Errorf("detach: exit %d\n%s", code, p)
	}
	p.showed(t, "\x1b[?1049l")
	p.showed(t, "bottle: detached from "+id+", which runs on; to come back: bottle attach "+id)
	if all := p.stdout.String(); strings.Contains(all, "\x1b]52") || strings.Contains(all, "\x1bP") || strings.Contains(all, "\x1b[21t") {
		t.Errorf("it came through: %q", all)
	}

	again := w.attach(t, &pty.Winsize{Rows: 20, Cols: 55}, id)
	again.said(t, "\x1b[32mgreen") // the screen as it was
	reader := w.attach(t, &pty.Winsize{Rows: 50, Cols: 200}, "--read-only", id)
	reader.said(t, "\x1b[32mgreen")
	reader.types(t, "echo nev%s er\n")
	again.types(t, "echo al$((40+2))so\n")
	again.said(t, "al42so\r\n") // the whole line: what is typed earlier is echoed into it
	reader.said(t, "al42so\r\n")
	if strings.Contains(again.stdout.String(), "nev%s") {
		t.Error("who only reads has typed")
	}
	again.types(t, "exit 9\n")
	for _, p := range []*process{again, reader} {
		if code := p.end(t, 30*time.Second); code != 9 {
			t.Errorf("exit %d, want the agent's 9:\n%s", code, p)
		}
		p.showed(t, "bottle: hint:  bottle resume "+id)
	}
	log, err := os.ReadFile(filepath.Join(w.StateDir(), id, "agent.jsonl"))
	if err != nil || !strings.Contains(string(log), `"text":"al42so"}`) || strings.Contains(string(log), `\u001b`) {
		t.Errorf("agent.jsonl: %v, %s", err, log)
	}
	if got := w.bottle(t, "stop", id); got.Code != 0 {
		t.Errorf("stop: %s", got)
	}
	w.noneLeft(t, "it-tty")
}

// The parent is gone, hung up and killed; the agent floods its terminal while nobody looks.
// Who comes sees the end of it, and stop works as ever.
func TestDetachedFloods(t *testing.T) {
	w := setup(t)
	p, err := w.start(nil, "start", "it-tty", "--detach", "--yes")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.finish)
	if code := p.end(t, 3*time.Minute); code != 0 {
		t.Fatalf("exit %d\n%s", code, p)
	}
	id := strings.TrimSpace(p.stdout.String())
	_ = p.group(syscall.SIGHUP) // nobody of that group is left
	bombs := `for i in $(seq 20000); do printf '\033[?1049h\033]0;x\033P\233\033[999999999b\033]8;;file:///\007%s' bomb; done; echo; echo la""st`
	first := w.attach(t, &pty.Winsize{Rows: 20, Cols: 55}, id)
	first.said(t, "bash-")
	first.types(t, bombs+"\n"+detachKeys)
	if code := first.end(t, 30*time.Second); code != 0 {
		t.Fatalf("detach: exit %d\n%s", code, first)
	}
	late := w.attach(t, &pty.Winsize{Rows: 20, Cols: 55}, id)
	late.said(t, "last")
	late.types(t, "echo al$((40+2))ive\n")
	late.said(t, "al42ive")
	for _, bad := range []string{"\x1bP", "\x1b[9", "\x9b", "\x1b]8;;f"} {
		if strings.Contains(late.stdout.String()+first.stdout.String(), bad) {
			t.Errorf("%q came through", bad)
		}
	}
	begin := time.Now()
	if got := w.bottle(t, "stop", id); got.Code != 0 || time.Since(begin) > 30*time.Second {
		t.Errorf("stop after %v: %s", time.Since(begin), got)
	}
	late.end(t, 30*time.Second)
	w.noneLeft(t, "it-tty")
}

// Until the agent runs the launch belongs to its command: ^C takes it back, and so does a
// kill, which can say nothing.
func TestDetachedCalledOff(t *testing.T) {
	w := setup(t)
	for name, signal := range map[string]syscall.Signal{"interrupt": syscall.SIGINT, "kill": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			p, err := w.start(nil, "start", "it-tty", "--detach", "--yes")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.finish)
			p.said(t, "bundle: done, ") // and the machine still boots
			if err := p.group(signal); err != nil {
				t.Fatal(err)
			}
			code := p.end(t, 30*time.Second)
			if signal == syscall.SIGINT {
				// It has waited until everything was undone.
				if code != 130 || !strings.Contains(p.stderr.String(), "bottle: interrupted\n") || p.stdout.String() != "" {
					t.Errorf("exit %d\n%s", code, p)
				}
				w.noneLeft(t, "it-tty")
				return
			}
			eventually.Fine(t, 30*time.Second, func() string {
				left, err := w.Left(t.Context(), w.engine, "it-tty-")
				if err != nil {
					return err.Error()
				}
				return strings.Join(left, "\n")
			})
		})
	}
}

// A bottle in the foreground has its terminal already.
func TestAttachToTheForeground(t *testing.T) {
	l := theBottle(t)
	got := l.bottle(t, "attach", l.id)
	if got.Code != 1 || !strings.Contains(got.Stderr, l.id+" runs in the foreground: its terminal is that of process ") ||
		!strings.Contains(got.Stderr, "bottle: hint:  bottle shell "+l.id) {
		t.Errorf("%s", got)
	}
}
