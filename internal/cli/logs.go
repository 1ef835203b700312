package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"bottle.internal/internal/app"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/timeline"
)

// logFlags are the flags of logs.
type logFlags struct {
	follow       bool
	since, until string
	sources      []string
	tail         int
	format       *format
}

func logsCommand() command {
	return command{
		name: "logs", args: "IDENTITY",
		summary: "show what happened in a bottle, in the order of time",
		help: `It merges what the agent printed with the audit log: firewall, egress, git-gate,
supervise, vm and host. Also of a bottle that is stopped, and of one that is gone as long
as its audit log is kept. Following ends when the bottle is gone.

  bottle logs demo-x7k2p
  bottle logs demo-x7k2p --follow --tail=20
  bottle logs demo-x7k2p --since=10m --source=egress,git-gate
  bottle logs demo-x7k2p --since=2026-01-02T12:00:00Z --format=json`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			var f logFlags
			flags.BoolVarP(&f.follow, "follow", "f", false, "go on with what happens until the bottle is gone")
			flags.StringVar(&f.since, "since", "", "only from this `time`: 10m ago, or 2026-01-02T12:00:00Z")
			flags.StringVar(&f.until, "until", "", "only up to this `time`")
			flags.StringSliceVar(&f.sources, "source", nil, "only of these `sources`: "+join(timeline.Sources()))
			flags.IntVar(&f.tail, "tail", -1, "only the last `lines` of what is there; -1: all")
			f.format = formatFlag(flags)
			return func(ctx context.Context, s *session) error { return s.logs(ctx, f) }
		},
	}
}

func (s *session) logs(ctx context.Context, f logFlags) error {
	request, err := s.logsRequest(f, time.Now())
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(s.Stdout, 64<<10)
	printer := logPrinter{w: out, format: *f.format, colour: s.colour(), now: time.Now}
	request.Idle = out.Flush
	err = s.app.Logs(ctx, request, printer.print)
	if flushed := out.Flush(); flushed != nil {
		err = errors.Join(err, fmt.Errorf("writing the answer: %w", flushed))
	}
	if ctx.Err() != nil {
		return exitWith(exitInterrupted) // as everybody ends it: nothing to say
	}
	return err
}

func (s *session) logsRequest(f logFlags, now time.Time) (app.LogsRequest, error) {
	request := app.LogsRequest{Follow: f.follow, Tail: f.tail}
	var err error
	if request.Identity, err = s.one("bottle"); err != nil {
		return request, err
	}
	if f.follow && f.until != "" {
		return request, &usageError{text: "--follow and --until exclude each other"}
	}
	if request.Tail < -1 {
		return request, &usageError{text: "--tail is a number of lines, or -1 for all"}
	}
	if request.Since, err = parseMoment("since", f.since, now); err != nil {
		return request, err
	}
	if request.Until, err = parseMoment("until", f.until, now); err != nil {
		return request, err
	}
	for _, name := range f.sources {
		source := timeline.Source(name)
		if !slices.Contains(timeline.Sources(), source) {
			return request, &usageError{text: fmt.Sprintf("there is no source %q: %s", printable.SafeText(name), join(timeline.Sources()))}
		}
		request.Sources = append(request.Sources, source)
	}
	return request, nil
}

// parseMoment reads a duration before now, or a time.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, &usageError{text: fmt.Sprintf("--%s=%s is neither a duration such as 10m nor a time such as 2026-01-02T12:00:00Z", flag, printable.SafeText(text))}
	}
	return at, nil
}

// join lists names for a person.
func join[T ~string](names []T) string {
	var list []string
	for _, name := range names {
		list = append(list, string(name))
	}
	return strings.Join(list, ", ")
}

// colour reports whether the answer goes to a terminal whose owner likes colours.
func (s *session) colour() bool {
	out, ok := s.Stdout.(*os.File)
	return ok && !s.plain && term.IsTerminal(int(out.Fd()))
}

// logPrinter writes records, one a line.
type logPrinter struct {
	w      io.Writer
	format format
	colour bool
	now    func() time.Time
}

func (p logPrinter) print(record timeline.Record) error {
	if p.format == formatJSON {
		raw, err := json.Marshal(record)
		if err != nil {
			return fmt.Errorf("writing the answer: %w", err)
		}
		return p.line(printable.SafeJSON(string(raw)))
	}
	// A record of another day says which: without that the order would look wrong.
	at, layout := record.Time.Local(), "15:04:05.000"
	if at.Format(time.DateOnly) != p.now().Format(time.DateOnly) {
		layout = "2006-01-02 15:04:05.000"
	}
	source := fmt.Sprintf("%-9s", record.Source)
	if p.colour {
		source = "\x1b[" + colourOf(record) + "m" + source + "\x1b[0m"
	}
	return p.line(at.Format(layout) + " " + source + " " + record.Describe())
}

func (p logPrinter) line(text string) error {
	if _, err := io.WriteString(p.w, text+"\n"); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

// colourOf is a colour of the terminal's own sixteen; a refusal is red whoever says it.
func colourOf(record timeline.Record) string {
	switch record.Event {
	case "deny", "push-deny", "refused", "exfiltration", "fail":
		return "31"
	}
	switch record.Source {
	case timeline.Agent:
		return "32"
	case timeline.Firewall, timeline.Egress:
		return "36"
	case timeline.GitGate:
		return "35"
	case timeline.Supervise:
		return "33"
	default:
		return "34"
	}
}
