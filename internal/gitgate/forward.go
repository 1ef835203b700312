package gitgate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"bottle.internal/internal/excerpt"
	"bottle.internal/internal/execx"
	"bottle.internal/internal/printable"
)

// Bounds of the last steps.
const (
	askTime     = 30 * time.Second
	forwardTime = 10 * time.Minute
)

// approvalQuestion is what the host is asked about a push. It remembers the answer for
// exactly this remote and these refs with their old and new values.
type approvalQuestion struct {
	Remote  string    `json:"remote"`
	Refs    []refLine `json:"refs"`
	Commits int       `json:"commits"`
	Files   []string  `json:"files"`   // protected ones, at most 50
	Reasons []string  `json:"reasons"` // why it is asked
}

type approvalAnswer struct {
	Decision string `json:"decision"` // approved, rejected or pending
	Note     string `json:"note"`     // pending: what to name the question by
}

// approve asks a human where the remote or the content needs it. Nobody answering is a no.
func (p *push) approve(ctx context.Context, files []string) error {
	var reasons []string
	if p.remote.spec.Approve {
		reasons = append(reasons, "every push to this remote needs approval")
	}
	if len(files) > 0 {
		reasons = append(reasons, "it changes protected files")
	}
	if len(reasons) == 0 {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	shown := make([]string, 0, len(files))
	for _, file := range files {
		shown = append(shown, printable.ASCII(file, 300))
	}
	var answer approvalAnswer
	question := approvalQuestion{p.remote.spec.Name, p.refs(), len(p.found.commits), shown, reasons}
	err := p.gate.options.Channel.Ask(asking, "push-approval", question, &answer)
	entry := line{Event: eventApproval, Push: p.serial, Remote: p.remote.spec.Name, Refs: p.refs(), Decision: printable.ASCII(answer.Decision, 20), Reason: strings.Join(reasons, "; ")}
	if err != nil {
		entry.Problem = printable.ASCII(err.Error(), 300)
	}
	p.gate.journal.Write(entry)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return decide(answer, err, shown)
}

func decide(answer approvalAnswer, err error, files []string) error {
	why := &refusal{rule: ruleApproval}
	if len(files) > 0 {
		why.note = "protected files: " + printable.ASCII(strings.Join(files, ", "), 800)
	}
	note := ""
	if answer.Note != "" {
		note = " (" + printable.ASCII(answer.Note, 200) + ")"
	}
	switch {
	case err != nil:
		why.reason = "it needs approval, and nobody can be asked: " + printable.ASCII(err.Error(), 200)
	case answer.Decision == "approved":
		return nil
	case answer.Decision == "rejected":
		why.reason = "rejected" + note
	case answer.Decision == "pending":
		why.reason = "waiting for approval" + note + "; push again after it was approved"
	default:
		why.reason = "it needs approval, and the answer was not understood"
	}
	return why
}

// forward pushes to the upstream, from the quarantine: all refs or none, each only if it is
// still what the agent saw. It does not end with the agent's connection: a push that was
// begun is brought to an end that is known.
func (p *push) forward(ctx context.Context, q *quarantine) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	commits := len(p.found.commits)
	p.gate.journal.Write(line{Event: eventPushStart, Push: p.serial, Remote: p.remote.spec.Name, Refs: p.refs(), Commits: &commits})
	p.reply.progress("forwarding to " + p.remote.spec.Host)
	ctx, cancel := context.WithTimeout(p.gate.base, forwardTime)
	defer cancel()
	args := []string{"push", "--porcelain", "--no-verify", "--no-follow-tags", "--no-recurse-submodules", "--no-signed", "--thin"}
	if len(p.request.Commands) > 1 {
		args = append(args, "--atomic")
	}
	for _, cmd := range p.request.Commands {
		expect := cmd.Old
		if expect == zeroOID {
			expect = "" // it must not be there
		}
		args = append(args, "--force-with-lease="+cmd.Ref+":"+expect)
	}
	args = append(args, "--", p.remote.spec.url())
	for _, cmd := range p.request.Commands {
		args = append(args, cmd.New+":"+cmd.Ref)
	}
	run := q.run(args...)
	out := &excerpt.Head{Limit: 256 << 10}
	run.stdout = out
	err := p.gate.overSSH(ctx, p.remote, run)
	p.remote.upstream.stale()
	if err != nil {
		report, _ := out.Bytes()
		return p.forwardProblem(err, string(report))
	}
	p.gate.refreshSoon(p.remote)
	return nil
}

// forwardProblem finds in git's report which ref the upstream did not take, and why.
func (p *push) forwardProblem(err error, report string) error {
	said := ""
	if exit := (*execx.ExitError)(nil); errors.As(err, &exit) {
		said = exit.Stderr
	}
	if strings.Contains(said, "does not support --atomic") {
		return refuse(ruleUpstream, "the upstream cannot take several refs at once: push them one by one")
	}
	for text := range strings.Lines(report) {
		fields := strings.Split(strings.TrimSuffix(text, "\n"), "\t")
		if len(fields) != 3 || fields[0] != "!" {
			continue
		}
		_, ref, _ := strings.Cut(fields[1], ":")
		why := &refusal{rule: ruleUpstream, ref: ref, note: upstreamWords(said)}
		if strings.Contains(fields[2], "stale info") {
			why.rule, why.reason = ruleStale, "the upstream's branch is not what was last seen: fetch first"
			return why
		}
		why.reason = "the upstream refused it: " + printable.ASCII(fields[2], 200)
		if !strings.Contains(fields[2], "atomic push failed") {
			return why
		}
		err = why
	}
	if why := (*refusal)(nil); errors.As(err, &why) {
		return why
	}
	return explain(p.remote, err)
}

// upstreamWords are the lines of the upstream's own hooks.
func upstreamWords(said string) string {
	var words []string
	for text := range strings.Lines(said) {
		if word, ok := strings.CutPrefix(text, "remote: "); ok {
			words = append(words, printable.ASCII(strings.TrimSpace(word), 200))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return fmt.Sprintf("the upstream says: %s", strings.Join(words[:min(len(words), 10)], " | "))
}

// refreshSoon brings what the upstream took into the mirror before somebody asks for it.
func (g *Gate) refreshSoon(remote *remoteState) {
	g.running.Go(func() { _ = g.refresh(g.base, remote, reuse) })
}
