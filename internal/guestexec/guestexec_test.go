package guestexec_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/guestexec"
	"bottle.internal/pkg/smolvm"
)

func TestExitCodeIsTheGuestsOwn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		program func(context.Context, smolvm.ExecOptions) (string, error)
		code    int
		err     string
		out     string // what the caller's stderr got
	}{
		{name: "success", program: says(0, "", nil)},
		{name: "the program's own code", program: says(3, "bye\n", nil), code: 3, out: "bye\n"},
		{name: "killed in the guest", program: says(137, "", nil), code: 137},
		{name: "the tool stumbles after the frame", program: says(5, "", errors.New("smolvm: exit status 1")), code: 5},
		{
			name: "no frame", program: says(-1, "Error: vm not found: everything\n", nil), code: 0,
			err: "the guest reported no exit code: the VM tool ended with status 0", out: "Error: vm not found: everything\n",
		},
		{
			name: "the machine died", program: says(-1, "", smolvm.ErrNotRunning), code: -1,
			err: "the guest reported no exit code: machine is not running",
		},
		{
			name: "a frame with another nonce is text", code: 0,
			program: func(context.Context, smolvm.ExecOptions) (string, error) {
				return guestapi.Frame("0123456789abcdef", 0), nil
			},
			err: "the guest reported no exit code: the VM tool ended with status 0", out: guestapi.Frame("0123456789abcdef", 0),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := &machine{program: test.program}
			var out output
			code, err := m.guest().Run(t.Context(), demo(), out.stdio())
			text := ""
			if err != nil {
				text = err.Error()
			}
			if code != test.code || text != test.err || (test.err != "") != errors.Is(err, guestapi.ErrNoExit) {
				t.Errorf("Run() = %d, %q; want %d, %q", code, text, test.code, test.err)
			}
			if out.stderr.String() != test.out || out.stdout.Len() > 0 {
				t.Errorf("stderr %q, want %q; stdout %q", out.stderr.String(), test.out, out.stdout.String())
			}
		})
	}
}

// says plays a program that prints text and ends with code; a negative code gives no frame.
func says(code int, text string, err error) func(context.Context, smolvm.ExecOptions) (string, error) {
	return func(_ context.Context, o smolvm.ExecOptions) (string, error) {
		if code >= 0 {
			text += frame(o, code)
		}
		return text, err
	}
}

// The caller makes exit code 130 of it.
func TestInterruptedProgram(t *testing.T) {
	t.Parallel()
	interrupt := errors.New("interrupt signal received")
	ctx, cancel := context.WithCancelCause(t.Context())
	m := &machine{program: func(ctx context.Context, _ smolvm.ExecOptions) (string, error) {
		cancel(interrupt)
		<-ctx.Done()
		return "", ctx.Err()
	}}
	var out output
	if _, err := m.guest().Run(ctx, demo(), out.stdio()); !errors.Is(err, interrupt) || err.Error() != interrupt.Error() {
		t.Errorf("Run() = %v, want the interrupt", err)
	}
}

// A program that ends by itself while the interrupt arrives has its own code.
func TestInterruptAfterTheFrame(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	m := &machine{program: func(_ context.Context, o smolvm.ExecOptions) (string, error) {
		cancel()
		return frame(o, 4), context.Canceled
	}}
	var out output
	if code, err := m.guest().Run(ctx, demo(), out.stdio()); code != 4 || err != nil {
		t.Errorf("Run() = %d, %v; want the guest's 4", code, err)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		command guestexec.Command
		want    string
	}{
		{"the agent", demo(), "--user agent --workdir /home/agent/work -- bottle-demo"},
		{"root elsewhere", guestexec.Command{Argv: []string{"bottle-demo", "-x"}, Root: true, Workdir: "/"}, "--user root --workdir / -- bottle-demo -x"},
		{"words that look like flags", guestexec.Command{Argv: []string{"bottle-demo", "--user", "root"}}, "--user agent --workdir /home/agent/work -- bottle-demo --user root"},
	} {
		m := &machine{}
		var out output
		if _, err := m.guest().Run(t.Context(), test.command, out.stdio()); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		nonce := slices.Index(m.argv, "--nonce")
		if got := strings.Join(m.argv[nonce+2:], " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestTerminalGetsTheSizeAndEveryChange(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	resized := make(chan struct{})
	sizes := make(chan guestexec.Size, 1)
	sizes <- guestexec.Size{Rows: 24, Cols: 80}
	m := &machine{program: func(_ context.Context, o smolvm.ExecOptions) (string, error) {
		sizes <- guestexec.Size{Rows: 50, Cols: 132}
		sizes <- guestexec.Size{Rows: 1, Cols: 1} // taken when the one before was passed on
		close(resized)
		return "prompt$ " + frame(o, 0), nil
	}}
	var out output
	stdio := out.stdio()
	stdio.Stdin, stdio.TTY, stdio.Sizes = strings.NewReader(""), true, sizes
	code, err := m.guest().Run(t.Context(), demo(), stdio)
	<-resized
	if code != 0 || err != nil || out.stdout.String() != "prompt$ " {
		t.Errorf("Run() = %d, %v, stdout %q: the frame comes with the output of a terminal", code, err, out.stdout.String())
	}
	line := strings.Join(m.argv, " ")
	if !strings.Contains(line, " --term xterm-256color --rows 24 --cols 80 -- bottle-demo") {
		t.Errorf("argv %q lacks the first size", line)
	}
	session := m.argv[slices.Index(m.argv, "--session")+1]
	if !strings.Contains(line, "winsize "+session+" 50 132") {
		t.Errorf("argv %q lacks the change", line)
	}
	// The exit frame's nonce is hidden in the guest: neither it nor what is hidden with it
	// can name the session.
	if strings.Contains(line, "winsize "+m.argv[slices.Index(m.argv, "--nonce")+1]) {
		t.Errorf("argv %q shows the nonce to every process of the guest", line)
	}
}

// Whose terminal it is may go on using it.
func TestNobodyFollowsTheTerminalAfterwards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sizes := make(chan guestexec.Size)
		m := &machine{program: func(_ context.Context, o smolvm.ExecOptions) (string, error) {
			sizes <- guestexec.Size{Rows: 24, Cols: 80}
			return frame(o, 0), nil
		}}
		var out output
		stdio := out.stdio()
		stdio.TTY, stdio.Sizes = true, sizes
		if code, err := m.guest().Run(t.Context(), demo(), stdio); code != 0 || err != nil {
			t.Errorf("Run() = %d, %v", code, err)
		}
		synctest.Wait()
		select {
		case sizes <- guestexec.Size{}:
			t.Error("a size was taken after the program's end")
		default:
		}
	})
}

// TERM is the caller's own, but it goes onto a command line.
func TestStrangeTermIsLeftOut(t *testing.T) {
	t.Setenv("TERM", "x; rm -rf /")
	m := &machine{}
	var out output
	stdio := out.stdio()
	stdio.TTY = true
	if _, err := m.guest().Run(t.Context(), demo(), stdio); err != nil {
		t.Error(err)
	}
	if slices.Contains(m.argv, "--term") || slices.Contains(m.argv, "--rows") {
		t.Errorf("argv %q", m.argv)
	}
}

func TestStdinReachesTheProgram(t *testing.T) {
	t.Parallel()
	var got string
	m := &machine{program: func(_ context.Context, o smolvm.ExecOptions) (string, error) {
		data, err := io.ReadAll(o.Stdin)
		got = string(data)
		return frame(o, 0), err
	}}
	var out output
	stdio := out.stdio()
	stdio.Stdin = strings.NewReader("hello")
	if _, err := m.guest().Run(t.Context(), demo(), stdio); err != nil || got != "hello" {
		t.Errorf("stdin %q, %v", got, err)
	}
}
