package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"bottle.internal/internal/app"
	"bottle.internal/internal/audit"
	"bottle.internal/internal/printable"
)

var headHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// auditTime is milliseconds in UTC: wide enough to order, and of one width.
const auditTime = "2006-01-02T15:04:05.000Z07:00"

// auditFlags are the flags of the verbs below audit.
type auditFlags struct {
	format              *format
	head, source, event string
	html, markdown      string
}

func auditCommand() command {
	return command{
		name: "audit", args: "verify [IDENTITY|FILE] | show IDENTITY|FILE | report IDENTITY|FILE",
		summary: "check, show or report the audit log of a bottle",
		help: `verify checks every line and every signature; without an argument, of all logs here.
It exits 1 at the first line that was changed, removed, inserted or cut off. Give it the
head that bottle printed when it ended: without it, a log that somebody cut off behind a
signature looks complete.

report tells what happened: hosts, refusals, pushes, decisions, alarms, a timeline. The HTML
is one file that loads nothing. Of a broken log it covers what is true, and exits 1.

  bottle audit verify demo-x7k2p
  bottle audit verify ./audit.jsonl --head=HASH --format=json
  bottle audit show demo-x7k2p --source=egress --event=deny
  bottle audit report demo-x7k2p --html=report.html`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *session) error {
			var f auditFlags
			f.format = formatFlag(flags)
			flags.StringVar(&f.head, "head", "", "verify, report: the `hash` that the log must reach")
			flags.StringVar(&f.source, "source", "", "show: only lines of this `source`")
			flags.StringVar(&f.event, "event", "", "show: only lines with this `event`")
			flags.StringVar(&f.html, "html", "", "report: write a page to this `file`, or - for stdout")
			flags.StringVar(&f.markdown, "markdown", "", "report: write Markdown to this `file`, or - for stdout (the default)")
			return func(_ context.Context, s *session) error {
				verb := ""
				if len(s.args) > 0 {
					verb, s.args = s.args[0], s.args[1:]
				}
				if verb == "report" {
					return s.auditReport(f)
				}
				if f.html != "" || f.markdown != "" {
					return &usageError{text: "--html and --markdown are for report"}
				}
				switch verb {
				case "verify":
					return s.auditVerify(f)
				case "show":
					return s.auditShow(f)
				}
				return &usageError{text: "verify, show or report?"}
			}
		},
	}
}

func (s *session) auditVerify(f auditFlags) error {
	switch {
	case f.source != "" || f.event != "":
		return &usageError{text: "--source and --event are for show"}
	case len(s.args) > 1:
		return &usageError{text: fmt.Sprintf("one log at a time, not %d", len(s.args))}
	case f.head != "" && len(s.args) == 0:
		return &usageError{text: "--head of which log?"}
	case f.head != "" && !headHash.MatchString(f.head):
		return &usageError{text: "--head is a hash of 64 hexadecimal digits"}
	}
	logs, problems := s.args, []error(nil)
	if len(logs) == 0 {
		logs, problems = s.app.AuditLogs()
	}
	if len(logs) == 0 {
		fmt.Fprintln(s.Stderr, "no audit logs")
	}
	reports := []app.AuditReport{}
	for _, log := range logs {
		report, err := s.app.VerifyAudit(log, f.head)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		reports = append(reports, report)
		if !report.OK {
			problems = append(problems, fmt.Errorf("the audit log of %s is broken: %s", log, report.Problem))
		}
	}
	return errors.Join(s.auditAnswer(*f.format, reports), errors.Join(problems...))
}

func (s *session) auditAnswer(format format, reports []app.AuditReport) error {
	if format == formatJSON {
		return writeJSON(s.Stdout, reports)
	}
	for _, report := range reports {
		if !report.OK {
			continue
		}
		fmt.Fprintf(s.Stdout, "%s: ok, %d lines from %s to %s, head %s\n", printable.SafeText(report.Log), report.Lines,
			report.First.Format(time.DateTime), report.Last.Format(time.DateTime), report.Head)
		s.auditNotes(report)
	}
	return nil
}

// auditNotes says what is true of a good log all the same.
func (s *session) auditNotes(report app.AuditReport) {
	for _, c := range report.Continued {
		if c.Unsigned > 0 {
			fmt.Fprintf(s.Stderr, "bottle: warning: the process was killed before it signed lines %d to %d\n", c.Line-uint64(c.Unsigned), c.Line-1)
		}
		if c.Torn > 0 {
			fmt.Fprintf(s.Stderr, "bottle: warning: the process was killed in the middle of a line before line %d\n", c.Line)
		}
	}
	if report.Unsigned > 0 {
		fmt.Fprintf(s.Stderr, "bottle: warning: the bottle is running: the last lines, %d, are not signed yet\n", report.Unsigned)
	}
}

func (s *session) auditShow(f auditFlags) error {
	if f.head != "" {
		return &usageError{text: "--head is for verify"}
	}
	name, err := s.one("bottle")
	if err != nil {
		return err
	}
	if f.source != "" && !slices.Contains(audit.Sources(), audit.Source(f.source)) {
		return &usageError{text: fmt.Sprintf("there is no source %q: %s", printable.SafeText(f.source), join(audit.Sources()))}
	}
	return s.app.ShowAudit(name, func(line audit.Line) error {
		if !f.wants(line) {
			return nil
		}
		return printLine(s.Stdout, *f.format, line)
	})
}

// wants leaves the log's own records out unless they are asked for.
func (f auditFlags) wants(line audit.Line) bool {
	if f.source == "" && f.event == "" {
		return line.Source != "audit"
	}
	return (f.source == "" || string(line.Source) == f.source) && (f.event == "" || line.Event == f.event)
}

func printLine(w io.Writer, format format, line audit.Line) error {
	text := fmt.Sprintf("%s  %-9s  %-10s  %s", line.Time.Format(auditTime), line.Source, line.Event, line.Fields)
	if format == formatJSON {
		raw, err := line.Encode()
		if err != nil {
			return err
		}
		text = string(raw)
	}
	if _, err := fmt.Fprintln(w, printable.SafeText(text)); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}
