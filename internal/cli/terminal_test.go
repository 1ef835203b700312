package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/term"

	"bottle.internal/internal/app"
	"bottle.internal/internal/plan"
)

// terminal is a session on a pseudo-terminal; typed is what the person's keyboard is.
func terminal(t *testing.T) (s *session, typed *os.File, stderr *signalling) {
	t.Helper()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = keyboard.Close(), tty.Close() }) // the hang-up ends reads that were left behind
	stderr = &signalling{asked: make(chan struct{})}
	return &session{Streams: Streams{Stdin: tty, Stdout: tty, Stderr: stderr}}, keyboard, stderr
}

// signalling says when the first question was asked.
type signalling struct {
	bytes.Buffer
	asked chan struct{}
}

func (s *signalling) Write(p []byte) (int, error) {
	n, err := s.Buffer.Write(p)
	if bytes.HasSuffix(p, []byte("] ")) || bytes.HasSuffix(p, []byte(": ")) {
		close(s.asked)
	}
	return n, err
}

func somePlan() plan.Plan {
	return plan.Plan{Identity: "demo-aaaaa", Agent: "demo", Template: "demo", Bottle: "demo"}
}

func TestPreflightAsks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ typed, want string }{
		{"y\n", ""},
		{"YES\n", ""},
		{"n\n", "nothing was done"},
		{"\n", "nothing was done"},
		{"yellow\n", "nothing was done"},
		{"\x04", "no answer: nothing was done"}, // ^D
	} {
		s, keyboard, stderr := terminal(t)
		if _, err := keyboard.WriteString(test.typed); err != nil {
			t.Fatal(err)
		}
		err := s.preflight(t.Context(), somePlan(), false)
		if got := text(err); got != test.want {
			t.Errorf("after %q: %q, want %q", test.typed, got, test.want)
		}
		if said := stderr.String(); !strings.HasPrefix(said, "agent      demo (template demo)\n") || !strings.Contains(said, "Start demo-aaaaa? [y/N] ") {
			t.Errorf("the person was told %q", said)
		}
	}
}

func TestPreflightDoesNotAskWithYes(t *testing.T) {
	t.Parallel()
	s, _, stderr := terminal(t)
	if err := s.preflight(t.Context(), somePlan(), true); err != nil || strings.Contains(stderr.String(), "?") {
		t.Errorf("%v, said %q", err, stderr.String())
	}
}

// ^C ends every question at once, and leaves a terminal that shows what is typed.
func TestInterruptEndsAQuestion(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(context.Context, *session) error{
		"yes or no": func(ctx context.Context, s *session) error { return s.preflight(ctx, somePlan(), false) },
		"a secret": func(ctx context.Context, s *session) error {
			_, err := s.askSecret(ctx, "database password")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, stderr := terminal(t)
			before, err := term.GetState(int(s.Stdin.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-stderr.asked
				cancel()
			}()
			if err := ask(ctx, s); !errors.Is(err, context.Canceled) {
				t.Errorf("err = %v, want context.Canceled", err)
			}
			after, err := term.GetState(int(s.Stdin.Fd()))
			if err != nil || *after != *before {
				t.Errorf("the terminal is not as it was: %v", err)
			}
		})
	}
}

func TestAskSecret(t *testing.T) {
	t.Parallel()
	s, keyboard, stderr := terminal(t)
	go func() {
		<-stderr.asked
		_, _ = keyboard.WriteString("hunter2\n")
	}()
	value, err := s.askSecret(t.Context(), "pass\x1b[2Jword")
	if err != nil || value.Reveal() != "hunter2" {
		t.Errorf("askSecret() = %q, %v", value.Reveal(), err)
	}
	if got := stderr.String(); got != `pass\x1b[2Jword: `+"\n" {
		t.Errorf("the person was told %q", got)
	}
}

func TestAskSecretNeedsATerminal(t *testing.T) {
	t.Parallel()
	s := &session{Streams: Streams{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}}}
	if _, err := s.askSecret(t.Context(), "password"); text(err) != `there is no terminal to ask for "password" on` {
		t.Errorf("err = %v", err)
	}
}

func TestWatchSize(t *testing.T) {
	t.Parallel()
	s, keyboard, _ := terminal(t)
	if err := pty.Setsize(keyboard, &pty.Winsize{Rows: 33, Cols: 99}); err != nil {
		t.Fatal(err)
	}
	sizes, stop := watchSize(int(s.Stdin.Fd()))
	if size := <-sizes; size.Rows != 33 || size.Cols != 99 {
		t.Errorf("the first size is %+v", size)
	}
	stop()
}

// Run is what mage calls too: with a manifest of its own and no terminal.
func TestRunNeedsNoProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	config := app.Config{Environ: []string{"HOME=" + home}, Dir: home, Manifest: filepath.Join(home, "none.toml"), UID: os.Getuid()}
	var stdout, stderr bytes.Buffer
	code := Run(t.Context(), Streams{Stdout: &stdout, Stderr: &stderr}, config, []string{"start", ""})
	if code != exitFailure || stdout.Len() > 0 || !strings.HasPrefix(stderr.String(), "bottle: error: ") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
}
