package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/spf13/pflag"

	"bottle.internal/internal/event"
)

// onTerminal runs do with a pseudo-terminal of this size as stderr and returns what the
// person sees of it.
func onTerminal(t *testing.T, size pty.Winsize, do func(tty *os.File)) string {
	t.Helper()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	if err := pty.Setsize(tty, &size); err != nil {
		t.Fatal(err)
	}
	do(tty)
	const end = "END"
	if _, err := io.WriteString(tty, end); err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	buffer := make([]byte, 4096)
	for !strings.HasSuffix(seen.String(), end) {
		n, err := keyboard.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(buffer[:n])
	}
	if err := tty.Close(); err != nil {
		t.Error(err)
	}
	return strings.ReplaceAll(strings.TrimSuffix(seen.String(), end), "\r\n", "\n")
}

var seconds = regexp.MustCompile(`  \d+ s\n`)

// work is a download that is interrupted while a machine boots.
func work(t *testing.T, sink event.Sink) {
	t.Helper()
	for _, e := range []event.Event{
		{Kind: event.Start, Step: "layer", Part: "system", Text: "system"},
		{Kind: event.Done, Step: "layer", Part: "system", Text: "system"},
		{Kind: event.Start, Step: "download", Part: "agent", Text: "agent"},
		{Kind: event.Warn, Step: "download", Text: "slow"},
		{Kind: event.Start, Step: "boot", Text: "booting demo-aaaaa"},
		{Kind: event.Progress, Step: "download", Part: "agent", Text: "agent", Done: 5_000_000, Total: 10_000_000},
		{Kind: event.Start, Step: "push", Text: "agent"}, // draws what the progress brought
	} {
		sink.Send(t.Context(), e)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	const up, clearBelow = "\x1b[1A", "\r\x1b[J"
	for _, test := range []struct {
		name string
		size pty.Winsize
		live string // the live lines before the end
	}{
		{"wide", pty.Winsize{Rows: 24, Cols: 80}, "download: agent  5.0 MB of 10.0 MB, 50%\nboot: booting demo-aaaaa\npush: agent\n"},
		{"narrow", pty.Winsize{Rows: 5, Cols: 20}, "5.0 MB of 10.0 MB\nboot: booting demo-\npush: agent\n"},
		{"no size at all", pty.Winsize{}, "download: agent  5.0 MB of 10.0 MB, 50%\nboot: booting demo-aaaaa\npush: agent\n"},
	} {
		seen := onTerminal(t, test.size, func(tty *os.File) {
			sink, done := progress(tty, false, false)
			work(t, sink)
			done()
		})
		seen = seconds.ReplaceAllString(seen, "\n") // a loaded machine may count some
		if !strings.HasSuffix(seen, test.live+up+up+up+clearBelow) {
			t.Errorf("%s: the end of it is not gone, or not what it should be: %q", test.name, seen)
		}
		if rest := strings.NewReplacer(up, "", clearBelow, "").Replace(seen); strings.Contains(rest, "\x1b") {
			t.Errorf("%s: other controls: %q", test.name, rest)
		}
	}
}

// Where lines cannot live there is at most one for each step, and no control at all.
func TestPlainProgress(t *testing.T) {
	t.Parallel()
	const want = "layer: done, system\ndownload: warning: slow\n"
	for name, environ := range map[string][]string{
		"NO_COLOR": {"TERM=xterm", "NO_COLOR=1"},
		"dumb":     {"NO_COLOR=", "TERM=dumb"},
	} {
		seen := onTerminal(t, pty.Winsize{Rows: 24, Cols: 80}, func(tty *os.File) {
			sink, done := progress(tty, false, plain(environ))
			work(t, sink)
			done()
		})
		if seen != want {
			t.Errorf("%s: %q, want %q", name, seen, want)
		}
	}
	if plain([]string{"NO_COLOR=1", "NO_COLOR=", "TERM=xterm"}) {
		t.Error("an empty NO_COLOR counts")
	}
	var pipe bytes.Buffer
	sink, done := progress(&pipe, false, false)
	work(t, sink)
	done()
	if pipe.String() != want {
		t.Errorf("a pipe: %q, want %q", pipe.String(), want)
	}
}

// Quiet is quiet on a terminal too; warnings are no progress.
func TestQuietProgress(t *testing.T) {
	t.Parallel()
	seen := onTerminal(t, pty.Winsize{Rows: 24, Cols: 80}, func(tty *os.File) {
		sink, done := progress(tty, true, false)
		work(t, sink)
		done()
	})
	if want := "download: warning: slow\n"; seen != want {
		t.Errorf("%q, want %q", seen, want)
	}
}

// The lines are gone before an error, or "interrupted", is told.
func TestProgressEndsBeforeTheError(t *testing.T) {
	t.Parallel()
	seen := onTerminal(t, pty.Winsize{Rows: 24, Cols: 80}, func(tty *os.File) {
		sink, done := progress(tty, false, false)
		work(t, sink)
		done()
		report(tty, errors.New("it failed"))
	})
	if _, after, _ := strings.Cut(seen, "push: agent\n"); after != "\x1b[1A\x1b[1A\x1b[1A\r\x1b[Jbottle: error: it failed\n" {
		t.Errorf("after the live lines: %q", after)
	}
}

// A program reads the steps from a file, whatever a person sees; a file that is there is
// nobody's to overwrite.
func TestEventsFile(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("start", pflag.ContinueOnError)
	progressFlags(flags)
	path := filepath.Join(t.TempDir(), "events.jsonl")
	if err := flags.Parse([]string{"--quiet", "--events", path}); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	sink, done, err := sinks(Streams{Stderr: &stderr}, flags, false)
	if err != nil {
		t.Fatal(err)
	}
	sink.Send(t.Context(), event.Event{Kind: event.Done, Step: "boot"})
	done()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var line event.Timed
	if err := json.Unmarshal(text, &line); err != nil || line.Step != "boot" || line.Time.IsZero() || stderr.Len() > 0 {
		t.Errorf("%s: %v; shown: %q", text, err, &stderr)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	_, _, err = sinks(Streams{Stderr: &stderr}, flags, false)
	if want := "opening the file of --events: open " + path + ": file exists"; err == nil || err.Error() != want {
		t.Errorf("again: %v, want %s", err, want)
	}
}
