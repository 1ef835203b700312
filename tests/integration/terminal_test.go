//go:build integration

package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"bottle.internal/tests/eventually"
)

// types writes what a person would type.
func (p *process) types(t *testing.T, text string) {
	t.Helper()
	if _, err := p.terminal.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// An agent on a terminal: the question, the size, its change, ^C for the program and not
// for the bottle, and the exit code.
func TestStartOnATerminal(t *testing.T) {
	w := setup(t)
	theBottle(t)
	p, err := w.startOnTerminal(&pty.Winsize{Rows: 31, Cols: 97}, "start", "it-tty", "--rm")
	if err != nil {
		t.Fatal(err)
	}
	w.endWith(t, "it-tty", p)
	p.said(t, "? [y/N] ")
	p.types(t, "y\n")
	p.said(t, "bash-")
	p.types(t, "echo size=$(stty size) term=$TERM\n")
	p.said(t, "size=31 97 term=xterm")
	if err := pty.Setsize(p.terminal, &pty.Winsize{Rows: 20, Cols: 55}); err != nil {
		t.Fatal(err)
	}
	followed(t, p, "size=20 55 term=xterm")
	p.types(t, "sleep 999\n")
	time.Sleep(500 * time.Millisecond)
	p.types(t, "\x03")
	p.types(t, "echo code=$?\n")
	p.said(t, "code=130")
	p.types(t, "exit 9\n")
	if code := p.end(t, 30*time.Second); code != 9 {
		t.Errorf("exit %d, want the agent's 9:\n%s", code, p)
	}
	w.noneLeft(t, "it-tty")
}

// followed asks until the new size has arrived: it takes one more exec.
func followed(t *testing.T, p *process, want string) {
	t.Helper()
	eventually.Fine(t, eventually.Patience, func() string {
		p.types(t, "echo size=$(stty size) term=$TERM\n")
		time.Sleep(300 * time.Millisecond)
		if strings.Contains(p.stdout.String(), want) {
			return ""
		}
		return p.stdout.String()
	})
}

// The answer n starts nothing.
func TestStartRefused(t *testing.T) {
	w := setup(t)
	p, err := w.startOnTerminal(&pty.Winsize{Rows: 24, Cols: 80}, "start", "it-tty")
	if err != nil {
		t.Fatal(err)
	}
	w.endWith(t, "it-tty", p)
	p.said(t, "? [y/N] ")
	p.types(t, "n\n")
	if code := p.end(t, 30*time.Second); code != 1 || !strings.Contains(p.stdout.String(), "bottle: error: nothing was done") {
		t.Errorf("exit %d:\n%s", code, p)
	}
	w.noneLeft(t, "it-tty")
}

// exec --tty from a second process, with its own terminal of its own size.
func TestExecOnATerminal(t *testing.T) {
	l := theBottle(t)
	p, err := l.startOnTerminal(&pty.Winsize{Rows: 40, Cols: 111}, "exec", "--tty", l.id, "--", "bash", "--norc", "--noprofile")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.finish)
	p.said(t, "bash-")
	p.types(t, "echo size=$(stty size) term=$TERM; test -t 0 && test -t 1 && test -t 2 && echo a $((20+3)) terminal\n")
	p.said(t, "size=40 111 term=xterm")
	p.said(t, "a 23 terminal")
	if err := pty.Setsize(p.terminal, &pty.Winsize{Rows: 10, Cols: 44}); err != nil {
		t.Fatal(err)
	}
	followed(t, p, "size=10 44 term=xterm")
	p.types(t, "exit 5\n")
	if code := p.end(t, 30*time.Second); code != 5 {
		t.Errorf("exit %d, want 5:\n%s", code, p)
	}
}

// Without a terminal nothing is asked, and nothing is started.
func TestStartWithoutATerminal(t *testing.T) {
	w := setup(t)
	got := w.bottle(t, "start", "it-slow")
	want := "bottle: error: there is no terminal to ask on\nbottle: hint:  bottle start it-slow --yes\n"
	if got.Code != 2 || !strings.HasSuffix(got.Stderr, want) {
		t.Errorf("want exit 2 and %q, got %s", want, got)
	}
	w.noneLeft(t, "it-slow")
}
