package board

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"bottle.internal/internal/app"
	"bottle.internal/internal/ask"
	"bottle.internal/internal/printable"
	"bottle.internal/internal/proposal"
)

// maxWhat bounds what a table shows of a text.
const maxWhat = 100

// Table is a line for each proposal.
func Table(w io.Writer, rows []app.Proposal) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tBOTTLE\tSTATUS\tASKS FOR")
	for _, p := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", p.Short(), p.Identity, status(p), Summary(p))
	}
	return table.Flush()
}

// Result is one line on what a decision led to.
func Result(p app.Proposal) string {
	line := p.Short() + " " + printable.SafeLine(what(p.Proposal)) + ": "
	switch {
	case p.Outcome != nil && p.Outcome.Status == ask.Approved:
		line += "approved, and in force"
		if p.Outcome.Problem != "" {
			line += "; but " + printable.SafeLine(p.Outcome.Problem)
		}
	case p.Outcome != nil:
		line += string(p.Outcome.Status)
	case p.Live:
		line += "recorded; the bottle has not taken it up yet"
	default:
		line += "recorded; the bottle does not run, it counts when it is resumed"
	}
	return line
}

// status is the state of a proposal in a word or two.
func status(p app.Proposal) string {
	if p.Status == ask.Pending && p.Decision != nil {
		return map[proposal.Verdict]string{proposal.Approve: "approve sent", proposal.Reject: "reject sent"}[p.Decision.Verdict]
	}
	return string(p.Status)
}

// Summary is what is asked for, on one short line.
func Summary(p app.Proposal) string {
	text := what(p.Proposal)
	if runes := []rune(text); len(runes) > maxWhat {
		text = string(runes[:maxWhat]) + "..."
	}
	if p.Uses != "" {
		text += " USES " + p.Uses
	}
	return printable.SafeLine(text)
}

// what is what a proposal is about. It may hold text from outside.
func what(p proposal.Proposal) string {
	switch {
	case p.Allow != nil:
		return fmt.Sprintf("%s %s:%d %s", strings.Join(p.Allow.Methods, ","), p.Allow.Host, p.Allow.Port, strings.Join(paths(p.Allow.Paths), " "))
	case p.Capability != nil:
		return "capability: " + p.Capability.Capability
	case p.Push != nil:
		return fmt.Sprintf("push %s %s %.12s..%.12s", p.Push.Remote, p.Push.Ref, p.Push.Old, p.Push.New)
	}
	return ""
}

func paths(prefixes []string) []string {
	if len(prefixes) == 1 && prefixes[0] == "/" {
		return []string{"ALL PATHS"}
	}
	return prefixes
}

// Details is all of a proposal, as lines that are safe to print. Text of the agent stands
// behind a bar, so that it cannot pose as one of ours.
func Details(p app.Proposal) []string {
	v := p.Proposal
	lines := []string{
		"proposal    " + v.ID,
		"bottle      " + p.Identity + map[bool]string{true: "", false: " (not running)"}[p.Live],
		"asked       " + v.Created.UTC().Format(time.RFC3339),
		"status      " + status(p),
	}
	switch {
	case v.Allow != nil:
		lines = append(lines, allowLines(p)...)
		lines = append(lines, quoted("it says", v.Allow.Justification)...)
	case v.Capability != nil:
		lines = append(lines, "capability  "+printable.SafeLine(v.Capability.Capability))
		lines = append(lines, quoted("it says", v.Capability.Justification)...)
	case v.Push != nil:
		lines = append(lines, "push        "+v.Push.Remote+" "+v.Push.Ref, "from        "+v.Push.Old, "to          "+v.Push.New)
		lines = append(lines, quoted("because", strings.Join(v.Push.Reasons, "\n"))...)
	}
	if p.Decision != nil {
		lines = append(lines, fmt.Sprintf("decision    %s by %s, %s", p.Decision.Verdict, printable.SafeLine(p.Decision.By), p.Decision.DecidedAt.UTC().Format(time.RFC3339)))
		if p.Decision.Note != "" {
			lines = append(lines, "note        "+printable.SafeLine(p.Decision.Note))
		}
	}
	if p.Outcome != nil && p.Outcome.Problem != "" {
		lines = append(lines, "problem     "+printable.SafeLine(p.Outcome.Problem))
	}
	return lines
}

func allowLines(p app.Proposal) []string {
	allow := p.Proposal.Allow
	lines := []string{
		fmt.Sprintf("host        %s:%d", allow.Host, allow.Port),
		"methods     " + strings.Join(allow.Methods, ", "),
		"paths       " + strings.Join(paths(allow.Paths), "  "),
	}
	if p.Uses != "" {
		lines = append(lines, "credential  USES "+p.Uses)
	}
	if p.Outcome == nil && p.Changed() {
		lines = append(lines, "changed     the routes of this host are others than when it was asked for")
	}
	switch {
	case p.Problem != "":
		return append(lines, "approval    not possible: "+printable.SafeLine(p.Problem))
	case p.Route == nil:
		return lines
	case p.Route.Before == nil:
		lines = append(lines, "approval    opens a new route, without a credential")
	default:
		lines = append(lines,
			"approval    widens a route, which is methods times paths",
			"            from "+strings.Join(p.Route.Before.Methods, ", ")+" on "+strings.Join(paths(p.Route.Before.Paths), "  "),
			"            to   "+strings.Join(p.Route.After.Methods, ", ")+" on "+strings.Join(paths(p.Route.After.Paths), "  "))
	}
	if p.Route.After.Private {
		lines = append(lines, "            PRIVATE ADDRESSES: it is an echo name of the bottle")
	}
	return lines
}

// quoted is text of the agent, each line behind a bar.
func quoted(title, text string) []string {
	lines := []string{title}
	for line := range strings.Lines(printable.SafeText(text)) {
		lines = append(lines, "  | "+strings.TrimSuffix(line, "\n"))
	}
	return lines
}
