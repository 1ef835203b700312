package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/guestexec"
)

// shown is what arrives at a terminal until the mark.
func shown(t *testing.T, keyboard *os.File, mark string) string {
	t.Helper()
	if err := keyboard.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	buffer := make([]byte, 4096)
	for !strings.HasSuffix(got.String(), mark) {
		n, err := keyboard.Read(buffer)
		got.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%q, %v", got.String(), err)
		}
	}
	return strings.TrimSuffix(got.String(), mark)
}

// SECURITY-RULES 16: what a guest prints is filtered on its way to a terminal, and the
// terminal is reset however the guest ends. Start, shell, exec and attach all run this.
func TestTerminalIsFilteredAndReset(t *testing.T) {
	t.Parallel()
	const hostile = "\x1b]52;c;ZXZpbA==\x07\x1b[?1049h\x1b[?25lhi\x1bPq"
	const reset = "\x1b[?25h\x1b[?1049l\x0f\x1b[0m"
	interrupted, stop := context.WithCancel(t.Context())
	stop()
	for _, test := range []struct {
		name string
		raw  bool
		ctx  context.Context //nolint:containedctx // a row of a table
		err  error
		want string
	}{
		{"it ends", false, t.Context(), nil, "\x1b[?1049h\x1b[?25lhi" + reset},
		{"it fails", false, t.Context(), errors.New("the machine died"), "\x1b[?1049h\x1b[?25lhi" + reset},
		{"it is interrupted", false, interrupted, context.Canceled, "\x1b[?1049h\x1b[?25lhi" + reset},
		{"raw", true, t.Context(), nil, hostile + "\x18\x1b\\" + reset},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, keyboard, _ := terminal(t)
			s.raw = test.raw
			_, err := s.attached(test.ctx, func(_ context.Context, stdio guestexec.Stdio) (int, error) {
				_, _ = io.WriteString(stdio.Stdout, hostile)
				return 0, test.err
			})
			if !errors.Is(err, test.err) {
				t.Errorf("%v", err)
			}
			fmt.Fprint(s.Stdout, "|")
			if got := shown(t, keyboard, "|"); got != test.want {
				t.Errorf("the terminal shows %q, want %q", got, test.want)
			}
		})
	}
}

// A question of the guest's is answered by the terminal, perhaps too late.
func TestLateAnswersAreDropped(t *testing.T) {
	t.Parallel()
	s, keyboard, _ := terminal(t)
	_, err := s.attached(t.Context(), func(_ context.Context, stdio guestexec.Stdio) (int, error) {
		_, _ = io.WriteString(stdio.Stdout, "\x1b[6n")
		_, err := keyboard.WriteString("\x1b[24;80R\n")
		return 0, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyboard.WriteString("typed\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := readLine(t.Context(), s); line != "typed" || err != nil {
		t.Errorf("the shell reads %q, %v", line, err)
	}
}

// A pipe gets what the guest wrote.
func TestPipeIsNotFiltered(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := &session{Streams: Streams{Stdout: &out, Stderr: io.Discard}}
	_, err := s.attached(t.Context(), func(_ context.Context, stdio guestexec.Stdio) (int, error) {
		_, err := io.WriteString(stdio.Stdout, "\x1b]52;c;x\x07")
		return 0, err
	})
	if err != nil || out.String() != "\x1b]52;c;x\x07" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestAnswered(t *testing.T) {
	t.Parallel()
	ask := answered([]string{"one", "two"})
	for _, want := range []string{"one", "two"} {
		if got, err := ask(t.Context(), "?"); err != nil || got.Reveal() != want {
			t.Errorf("%q, %v", got.Reveal(), err)
		}
	}
	if _, err := ask(t.Context(), "three?"); err == nil || err.Error() != `nobody was asked "three?"` {
		t.Errorf("%v", err)
	}
}
