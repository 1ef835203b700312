package launch_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"bottle.internal/internal/guestapi"
	"bottle.internal/internal/launch"
	"bottle.internal/pkg/smolvm"
)

func TestExitCodeIsTheGuestsOwn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		agent func(ctx context.Context, o smolvm.ExecOptions) (string, error)
		code  int
		err   string
		out   string // what the caller's stderr got
	}{
		{name: "success", agent: says(0, "", nil)},
		{name: "the agent's own code", agent: says(3, "bye\n", nil), code: 3, out: "bye\n"},
		{name: "killed in the guest", agent: says(137, "", nil), code: 137},
		{name: "the tool stumbles after the frame", agent: says(5, "", errors.New("smolvm: exit status 1")), code: 5},
		{
			name: "no frame", agent: says(-1, "Error: vm not found: everything\n", nil), code: 0,
			err: "the guest reported no exit code: the VM tool ended with status 0", out: "Error: vm not found: everything\n",
		},
		{
			name: "the machine died", agent: says(-1, "", smolvm.ErrNotRunning), code: -1,
			err: "the guest reported no exit code: machine is not running",
		},
		{
			name: "a frame with another nonce is text", code: 0,
			agent: func(context.Context, smolvm.ExecOptions) (string, error) {
				return guestapi.Frame("0123456789abcdef", 0), nil
			},
			err: "the guest reported no exit code: the VM tool ended with status 0", out: guestapi.Frame("0123456789abcdef", 0),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.agent = test.agent
			var out output
			code, err := launch.Exec(t.Context(), fakeMachine{w}, "bottle-demo-aaaaa", demo(), out.stdio())
			text := ""
			if err != nil {
				text = err.Error()
			}
			if code != test.code || text != test.err || (test.err != "") != errors.Is(err, guestapi.ErrNoExit) {
				t.Errorf("Exec() = %d, %q; want %d, %q", code, text, test.code, test.err)
			}
			if out.stderr.String() != test.out || out.stdout.Len() > 0 {
				t.Errorf("stderr %q, want %q; stdout %q", out.stderr.String(), test.out, out.stdout.String())
			}
		})
	}
}

func demo() launch.Command { return launch.Command{Argv: []string{"bottle-demo"}} }

// says plays an agent that prints text and ends with code; a negative code gives no frame.
func says(code int, text string, err error) func(context.Context, smolvm.ExecOptions) (string, error) {
	return func(_ context.Context, o smolvm.ExecOptions) (string, error) {
		if code >= 0 {
			text += frame(o, code)
		}
		return text, err
	}
}

func TestInterruptedAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bottle, err := w.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.block = "agent"
	interrupt := errors.New("interrupt signal received")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-w.stuck
		cancel(interrupt)
	}()
	var out output
	// The caller makes exit code 130 of it.
	if _, err := bottle.Run(ctx, out.stdio()); !errors.Is(err, interrupt) || err.Error() != interrupt.Error() {
		t.Errorf("Run() = %v, want the interrupt", err)
	}
	if err := bottle.Close(context.WithoutCancel(ctx)); err != nil {
		t.Error(err)
	}
	w.nothingLeft()
}

// An agent that ends by itself while the interrupt arrives has its own code.
func TestInterruptAfterTheFrame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.agent = func(_ context.Context, o smolvm.ExecOptions) (string, error) {
		cancel()
		return frame(o, 4), context.Canceled
	}
	var out output
	if code, err := launch.Exec(ctx, fakeMachine{w}, "m", demo(), out.stdio()); code != 4 || err != nil {
		t.Errorf("Exec() = %d, %v; want the guest's 4", code, err)
	}
}

func TestCommandLineOfAnExec(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		command launch.Command
		want    string
	}{
		{"the agent", demo(), "--user agent --workdir /home/agent/work -- bottle-demo"},
		{"root elsewhere", launch.Command{Argv: []string{"bottle-demo", "-x"}, Root: true, Workdir: "/"}, "--user root --workdir / -- bottle-demo -x"},
		{"words that look like flags", launch.Command{Argv: []string{"bottle-demo", "--user", "root"}}, "--user agent --workdir /home/agent/work -- bottle-demo --user root"},
	} {
		w := newWorld(t)
		var out output
		if _, err := launch.Exec(t.Context(), fakeMachine{w}, "m", test.command, out.stdio()); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		nonce := slices.Index(w.argv, "--nonce")
		if got := strings.Join(w.argv[nonce+2:], " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestTerminalGetsTheSizeAndEveryChange(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	w := newWorld(t)
	resized := make(chan struct{})
	sizes := make(chan launch.Size, 1)
	sizes <- launch.Size{Rows: 24, Cols: 80}
	w.agent = func(ctx context.Context, o smolvm.ExecOptions) (string, error) {
		sizes <- launch.Size{Rows: 50, Cols: 132}
		sizes <- launch.Size{Rows: 1, Cols: 1} // taken when the one before was passed on
		close(resized)
		return "prompt$ " + frame(o, 0), nil
	}
	var out output
	stdio := out.stdio()
	stdio.Stdin, stdio.TTY, stdio.Sizes = strings.NewReader(""), true, sizes
	code, err := launch.Exec(t.Context(), fakeMachine{w}, "m", demo(), stdio)
	<-resized
	if code != 0 || err != nil || out.stdout.String() != "prompt$ " {
		t.Errorf("Exec() = %d, %v, stdout %q: the frame comes with the output of a terminal", code, err, out.stdout.String())
	}
	line := strings.Join(w.argv, " ")
	if !strings.Contains(line, " --term xterm-256color --rows 24 --cols 80 -- bottle-demo") {
		t.Errorf("argv %q lacks the first size", line)
	}
	session := w.argv[slices.Index(w.argv, "--session")+1]
	if !strings.Contains(line, "winsize "+session+" 50 132") {
		t.Errorf("argv %q lacks the change", line)
	}
	// The exit frame's nonce is hidden in the guest: neither it nor what is hidden with it
	// can name the session.
	if strings.Contains(line, "winsize "+w.argv[slices.Index(w.argv, "--nonce")+1]) {
		t.Errorf("argv %q shows the nonce to every process of the guest", line)
	}
}

// TERM is the caller's own, but it goes onto a command line.
func TestStrangeTermIsLeftOut(t *testing.T) {
	t.Setenv("TERM", "x; rm -rf /")
	w := newWorld(t)
	var out output
	stdio := out.stdio()
	stdio.TTY = true
	if _, err := launch.Exec(t.Context(), fakeMachine{w}, "m", demo(), stdio); err != nil {
		t.Error(err)
	}
	if slices.Contains(w.argv, "--term") || slices.Contains(w.argv, "--rows") {
		t.Errorf("argv %q", w.argv)
	}
}

func TestStdinReachesTheProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var got string
	w.agent = func(_ context.Context, o smolvm.ExecOptions) (string, error) {
		data, err := io.ReadAll(o.Stdin)
		got = string(data)
		return frame(o, 0), err
	}
	var out output
	stdio := out.stdio()
	stdio.Stdin = strings.NewReader("hello")
	if _, err := launch.Exec(t.Context(), fakeMachine{w}, "m", demo(), stdio); err != nil || got != "hello" {
		t.Errorf("stdin %q, %v", got, err)
	}
}
