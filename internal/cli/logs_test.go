package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"bottle.internal/internal/app"
	"bottle.internal/internal/audit"
	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
	"bottle.internal/internal/timeline"
)

func TestLogPrinter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 13, 0, 0, 0, time.Local)
	at := time.Date(2026, 1, 2, 12, 4, 5, 123_456_000, time.Local)
	deny := timeline.Record{
		Time: at, Source: timeline.Egress, Event: "deny",
		Fields: json.RawMessage(`{"method":"GET","host":"api.test","path":"/v2/","reason":"path not in /v1/"}`),
	}
	agent := timeline.Record{Time: at.AddDate(0, 0, -1), Source: timeline.Agent, Event: "output", Text: "\x1b[2Jhi\n"}
	for _, test := range []struct {
		name    string
		printer logPrinter
		record  timeline.Record
		want    string
	}{
		{"today", logPrinter{}, deny, "12:04:05.123 egress    deny GET api.test/v2/ : path not in /v1/\n"},
		{"another day", logPrinter{}, agent, "2026-01-01 12:04:05.123 agent     \\x1b[2Jhi\n"},
		{"a denial is red", logPrinter{colour: true}, deny, "12:04:05.123 \x1b[31megress   \x1b[0m deny GET api.test/v2/ : path not in /v1/\n"},
		{"the agent is green, and escaped", logPrinter{colour: true}, agent, "2026-01-01 12:04:05.123 \x1b[32magent    \x1b[0m \\x1b[2Jhi\n"},
	} {
		var out bytes.Buffer
		test.printer.w, test.printer.format, test.printer.now = &out, formatText, func() time.Time { return now }
		if err := test.printer.print(test.record); err != nil || out.String() != test.want {
			t.Errorf("%s: %q, %v; want %q", test.name, out.String(), err, test.want)
		}
	}
	var out bytes.Buffer
	if err := (logPrinter{w: &out, format: formatJSON, colour: true}).print(agent); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, "\x1b") || !strings.Contains(text, `"text":"\u001b[2Jhi\n"`) {
		t.Errorf("JSON: %q", text)
	}
}

// Colours are for a terminal whose owner did not refuse them.
func TestColour(t *testing.T) {
	t.Parallel()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = keyboard.Close(), tty.Close() })
	for _, test := range []struct {
		s    session
		want bool
	}{
		{session{Streams: Streams{Stdout: tty}}, true},
		{session{Streams: Streams{Stdout: tty}, plain: true}, false},
		{session{Streams: Streams{Stdout: &bytes.Buffer{}}}, false},
	} {
		if got := test.s.colour(); got != test.want {
			t.Errorf("colour() = %t, want %t", got, test.want)
		}
	}
}

func TestParseMoment(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"10m":                       now.Add(-10 * time.Minute),
		"0s":                        now,
		"2026-01-01T00:00:00.5Z":    time.Date(2026, 1, 1, 0, 0, 0, 500_000_000, time.UTC),
		"2026-01-02T12:00:00+01:00": now.Add(-time.Hour),
	} {
		if got, err := parseMoment("since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("parseMoment(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"-10m", "10", "yesterday", "2026-01-02"} {
		if _, err := parseMoment("since", text, now); err == nil {
			t.Errorf("parseMoment(%q) took it", text)
		}
	}
}

// stopper ends a context when it is written to: what a person does who has seen enough.
type stopper struct {
	bytes.Buffer
	stop context.CancelFunc
}

func (s *stopper) Write(p []byte) (int, error) {
	defer s.stop()
	return s.Buffer.Write(p)
}

// ^C is how following ends: it has shown what it had, says nothing, and exits 130.
func TestFollowEndsQuietly(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	environ := []string{"HOME=" + home}
	root, err := state.OpenRoot(filepath.Join(home, ".local/state/bottle"))
	if err != nil {
		t.Fatal(err)
	}
	id := names.Identity("demo-aaaaa")
	instance, err := root.Create(id)
	if err != nil {
		t.Fatal(err)
	}
	defer instance.Unlock()
	key, err := audit.LoadKey(filepath.Join(root.Dir(), state.AuditKey), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(filepath.Join(root.Dir(), state.AuditLog(id)), key, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := log.Append(t.Context(), audit.Record{Source: audit.Host, Event: "running"}); err != nil {
		t.Fatal(err)
	}
	if err := log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, stderr := &stopper{stop: cancel}, &bytes.Buffer{}
	code := Run(ctx, Streams{Stdin: os.Stdin, Stdout: out, Stderr: stderr}, app.Config{Environ: environ, Dir: home}, []string{"logs", string(id), "-f"})
	if code != exitInterrupted || stderr.Len() > 0 || !strings.HasSuffix(out.String(), " vm        running\n") {
		t.Errorf("exit %d, stderr %q, stdout %q", code, stderr.String(), out.String())
	}
}
