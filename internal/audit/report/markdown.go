package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"bottle.internal/internal/bytesize"
)

// quote writes text from outside in Markdown. In a code span nothing is a link, an image, a
// mention or HTML; a backquote would end it and a bar would end the cell around it, so that
// both are escapes as everything that is not printable is.
func quote(t Text) string {
	if t.Empty() {
		return ""
	}
	return "`" + strings.NewReplacer("`", `\x60`, "|", `\x7c`).Replace(t.safe) + "`"
}

// markdown collects a page.
type markdown struct{ strings.Builder }

func (m *markdown) line(format string, args ...any) { fmt.Fprintf(m, format+"\n", args...) }

// table writes rows whose cells are safe already.
func (m *markdown) table(head []string, rows [][]string) {
	if len(rows) == 0 {
		m.line("None.\n")
		return
	}
	m.line("| %s |", strings.Join(head, " | "))
	m.line("|%s", strings.Repeat(" --- |", len(head)))
	for _, row := range rows {
		m.line("| %s |", strings.Join(row, " | "))
	}
	m.line("")
}

func (m *markdown) missing(n int, what string) {
	if n > 0 {
		m.line("%d more %s.\n", n, what)
	}
}

// Markdown writes the report as GitHub's Markdown: headings and tables, without a link, an
// image or HTML.
func Markdown(w io.Writer, r Report) error {
	var m markdown
	m.line("# Report of %s\n", cmp.Or(quote(r.Name), "`no name`"))
	m.line("%s\n", headline(r))
	m.chain(r.Chain)
	m.alarms(r)
	var glance [][]string
	for _, t := range tiles(r) {
		glance = append(glance, []string{t.Name, "**" + t.Value + "**", t.Note})
	}
	m.line("## At a glance\n")
	m.table([]string{"What", "How much", "And"}, glance)
	m.runs(r)
	m.hosts(r)
	m.denials(r)
	m.pushes(r)
	m.asked(r)
	m.receipts(r)
	m.events(r)
	m.line("All times are UTC, as the host's clock showed them.")
	if _, err := io.WriteString(w, m.String()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func (m *markdown) chain(c Chain) {
	if !c.OK {
		m.line("> **THIS AUDIT LOG IS BROKEN:** %s", quote(text(c.Problem)))
		m.line(">\n> The report covers what the last good signature before that covers, %d lines. What happened afterwards is unknown.", c.Covered())
		if c.LeftOut > 0 {
			m.line("> %d more lines before the break are not signed and are left out.", c.LeftOut)
		}
		m.line("")
		return
	}
	what := "intact and signed to its end"
	if c.Unsigned > 0 {
		what = fmt.Sprintf("intact; its last lines, %d, are not signed yet", c.Unsigned)
	}
	m.line("The audit log is **%s**: %d lines, %d signatures of key %s, head %s.", what, c.Lines, c.Heads, quote(text(c.Key)), quote(text(c.Head)))
	switch {
	case c.Asked != "":
		m.line("It reaches the head that was asked for.")
	case !c.Live:
		m.line("That nobody cut off its end shows only by the head that bottle printed: compare it.")
	}
	for _, at := range c.Continued {
		m.line("The process was killed before line %d: %d lines before it were signed only by the next one, %d bytes of a half-written line were cut off.", at.Line, at.Unsigned, at.Torn)
	}
	m.line("")
}

func (m *markdown) alarms(r Report) {
	if len(r.Alarms) == 0 {
		return
	}
	m.line("## Alarms\n")
	var rows [][]string
	for _, a := range r.Alarms {
		rows = append(rows, []string{"**" + quote(a.Kind) + "**", quote(a.Target), quote(a.What), a.Source.safe, fmt.Sprint(a.Times), a.Cut, period(a.First, a.Last)})
	}
	m.table([]string{"Alarm", "Target", "What", "Seen by", "Times", "Stopped?", "When"}, rows)
	m.missing(r.Missing.Alarms, "found no room here")
}

func (m *markdown) runs(r Report) {
	for _, run := range r.Runs {
		m.line("## Run %d\n", run.Number)
		var rows [][]string
		for _, fact := range facts(run) {
			rows = append(rows, []string{quote(fact.Name), quote(fact.Value)})
		}
		m.table([]string{"Fact", "Value"}, rows)
	}
	m.missing(r.MissingRuns, "runs in the middle are not shown")
}

func (m *markdown) hosts(r Report) {
	m.line("## Hosts\n")
	var rows [][]string
	for _, h := range r.Hosts {
		var methods []string
		for _, method := range h.Methods {
			methods = append(methods, fmt.Sprintf("%s %d", quote(method.Name), method.Times))
		}
		rows = append(rows, []string{
			quote(h.Target), strings.Join(methods, ", "), fmt.Sprint(h.Allowed), fmt.Sprint(h.Denied), fmt.Sprint(h.Failed), bytesize.Of(h.Up), bytesize.Of(h.Down),
		})
	}
	m.table([]string{"Host", "Methods", "Allowed", "Refused", "Failed", "Sent", "Received"}, rows)
	m.missing(r.Missing.Hosts, "lines are about hosts that found no room here")
}

func (m *markdown) denials(r Report) {
	m.line("## Refusals\n")
	var rows [][]string
	for _, d := range r.Denials {
		for _, t := range d.Targets {
			rows = append(rows, []string{quote(d.Source), quote(d.Rule), quote(t.Name), quote(t.Reason), fmt.Sprint(t.Times), clock(t.First)})
		}
		if d.Others > 0 {
			rows = append(rows, []string{quote(d.Source), quote(d.Rule), "others", "", fmt.Sprint(d.Others), ""})
		}
	}
	m.table([]string{"Source", "Rule", "What", "Reason", "Times", "First"}, rows)
	m.missing(r.Missing.Targets, "by other rules")
	for _, held := range r.Held {
		m.missing(held.Times, "of "+quote(held.Source)+" came too fast to be written one by one")
	}
}

func (m *markdown) pushes(r Report) {
	m.line("## Pushes\n")
	var rows [][]string
	for _, p := range r.Pushes {
		var refs []string
		for _, ref := range p.Refs {
			refs = append(refs, strings.TrimSpace(quote(ref.Name)+" "+quote(ref.New)))
		}
		rows = append(rows, []string{
			quote(p.Remote), strings.Join(refs, ", "), fmt.Sprint(p.Commits), "**" + string(p.Verdict) + "**",
			quote(p.Reason), quote(p.Rule), quote(p.Where), quote(p.Approval), clock(p.At),
		})
	}
	m.table([]string{"Remote", "Refs", "Commits", "Verdict", "Reason", "Rule", "File", "You said", "When"}, rows)
	m.missing(r.Missing.Pushes, "in the middle are not shown")
}

func (m *markdown) asked(r Report) {
	m.line("## What the agent asked for\n")
	var rows [][]string
	for _, d := range r.Asked {
		at := ""
		if !d.At.IsZero() {
			at = clock(d.At)
		}
		rows = append(rows, []string{
			quote(d.Kind), quote(d.What), quote(d.Reason), quote(d.Status), quote(d.By), strings.TrimSpace(quote(d.Note) + " " + quote(d.Problem)), d.Force, clock(d.Asked), at,
		})
	}
	m.table([]string{"Kind", "What", "The agent's words", "Decision", "Who", "Note", "Still in force?", "Asked", "Decided"}, rows)
	m.missing(r.Missing.Asked, "in the middle are not shown")
}

func (m *markdown) receipts(r Report) {
	m.line("## Receipt\n")
	if len(r.Receipts) == 0 {
		m.line("The log has none: no probe of the boundary was written down.\n")
	}
	for _, receipt := range r.Receipts {
		var rows [][]string
		for _, p := range receipt.Probes {
			rows = append(rows, []string{strings.TrimSpace(quote(p.Name) + " " + quote(p.Target)), quote(p.Control), quote(p.Expected), quote(p.Observed), quote(p.Verdict)})
		}
		m.line("Probes at %s:\n", clock(receipt.At))
		for _, pair := range receipt.Details {
			m.line("- %s: %s", quote(pair.Name), quote(pair.Value))
		}
		m.line("")
		m.table([]string{"Probe", "Control", "Expectation", "Observation", "Verdict"}, rows)
		m.missing(receipt.Others, "probes are not shown")
	}
	m.missing(r.Missing.Receipts, "in the middle are not shown")
}

func (m *markdown) events(r Report) {
	m.line("## Events\n")
	var rows [][]string
	add := func(list []Event) {
		for _, e := range list {
			rows = append(rows, []string{fmt.Sprint(e.Seq), exact(e.At), quote(e.Source), quote(e.Event), quote(e.Details)})
		}
	}
	add(r.Events)
	if r.Skipped > 0 {
		rows = append(rows, []string{"...", "", "", "", fmt.Sprintf("%d events in the middle are left out", r.Skipped)})
	}
	add(r.Tail)
	m.table([]string{"Line", "Time", "Source", "Event", "Details"}, rows)
}
