package report

import (
	"fmt"
	"strings"

	"bottle.internal/internal/audit"
)

// pushes joins the lines of each push. A git-gate counts them from its own start.
type pushes struct {
	list  ends[*Push]
	open  map[uint64]*Push // by serial, without an end
	given map[uint64]Text  // approvals, by serial
}

func (b *Builder) gitGate(line audit.Line, f fields) Class {
	switch line.Event {
	case "ready":
		b.pushes.open, b.pushes.given = nil, nil
		return Plain
	case "push-start":
		b.pushes.at(line, f).Verdict = Unknown
		return Plain
	case "push-allow":
		b.numbers.Taken++
		b.pushes.end(line, f, Taken)
		return Allowed
	case "push-deny":
		b.numbers.Refused++
		b.pushes.end(line, f, Refused)
		if f.Rule == "canary" {
			return b.alarm(line, "canary in a push", f.Remote, f.file(), new(true))
		}
		return Denied
	case "approval":
		p := b.pushes.at(line, f)
		p.Approval, p.Reason = text(f.Decision), text(f.Reason)
		return Decided
	}
	return b.common(line, f)
}

// at is the push that a line is about.
func (p *pushes) at(line audit.Line, f fields) *Push {
	push := p.open[f.Push]
	if push == nil {
		push = &Push{At: line.Time, Serial: f.Push, Verdict: Asked}
		p.list.add(push)
		if p.open == nil || len(p.open) >= maxOpenPushes {
			p.open = map[uint64]*Push{}
		}
		if f.Push != 0 {
			p.open[f.Push] = push
		}
	}
	push.Remote = text(f.Remote)
	push.Refs = nil
	for _, ref := range f.Refs[:min(len(f.Refs), 20)] {
		push.Refs = append(push.Refs, Ref{text(ref.Ref), short(ref.Old), short(ref.New)})
	}
	push.Commits = max(push.Commits, f.Commits)
	return push
}

func (p *pushes) end(line audit.Line, f fields, verdict Verdict) {
	push := p.at(line, f)
	push.Verdict, push.Rule, push.Where = verdict, text(f.Rule), text(f.file())
	push.Objects, push.Bytes = max(0, f.Objects), max(0, f.Bytes)
	push.Reason = text(f.Reason)
	delete(p.open, f.Push)
}

// short is the beginning of an object's name; the one of zeros is none.
func short(oid string) Text {
	if strings.Trim(oid, "0") == "" {
		return Text{}
	}
	return text(oid[:min(len(oid), 12)])
}

func (p *pushes) table() (list []Push, missing int) {
	all, missing := p.list.all()
	for _, push := range all {
		list = append(list, *push)
	}
	return list, missing
}

// asked joins proposals with their decisions.
type asked struct {
	list ends[*wish]
	open map[string]*wish // by id, undecided
}

type wish struct {
	Decision
	kind   string
	keep   bool
	status status
}

func (b *Builder) supervise(line audit.Line, f fields) Class { return b.common(line, f) }

func (b *Builder) host(line audit.Line, f fields) Class {
	switch line.Event {
	case "proposal":
		b.asked.propose(line, f)
		return Decided
	case "decision":
		switch f.Status {
		case "approved":
			b.numbers.Approved++
		default:
			b.numbers.Rejected++
		}
		b.asked.decide(line, f)
		return Decided
	case "proposal-refused":
		if held := f.Suppressed; held > 0 {
			b.hold(line.Source, held)
		}
		return b.deny(line, "proposal", f.Kind, f.Problem)
	case "queue-tampered":
		return b.alarm(line, "queue tampered with", "", f.Problem, nil)
	case "ssh-signed":
		b.numbers.Logins++
		return Plain
	case "token-given":
		b.numbers.Tokens++
		return Plain
	case "receipt":
		return b.receipt(line)
	}
	return b.life(line, f)
}

func (a *asked) propose(line audit.Line, f fields) *wish {
	w := &wish{kind: f.Kind}
	w.Asked, w.Kind, w.What, w.Reason = line.Time, text(f.Kind), text(f.subject()), text(first(f.Justification, strings.Join(f.Reasons, "; ")))
	a.list.add(w)
	if a.open == nil {
		a.open = map[string]*wish{}
	}
	if f.ID != "" && len(a.open) < maxOpenPushes {
		a.open[f.ID] = w
	}
	return w
}

func (a *asked) decide(line audit.Line, f fields) {
	w := a.open[f.ID]
	if w == nil {
		w = a.propose(line, f)
	}
	w.At, w.Status, w.By, w.Note, w.Problem = line.Time, text(string(f.Status)), text(f.By), text(f.Note), text(f.Problem)
	w.status, w.keep = f.Status, f.Keep
	delete(a.open, f.ID)
}

// subject says what is asked for.
func (f fields) subject() string {
	switch f.Kind {
	case "egress-allow":
		what := fmt.Sprintf("%s %s%s", strings.Join(f.Methods, ","), f.target(), strings.Join(f.Paths, ","))
		if f.Credential != "" {
			what += " with " + f.Credential
		}
		return what
	case "push-approval":
		return fmt.Sprintf("%s %s %.12s to %.12s", f.Remote, f.Ref, f.Old, f.New)
	}
	return first(f.Capability, f.target(), f.Remote)
}

func (a *asked) table(about About) (list []Decision, missing int) {
	all, missing := a.list.all()
	for _, w := range all {
		w.Force = w.force(about)
		list = append(list, w.Decision)
	}
	return list, missing
}

// force says whether an answer is still in force.
func (w *wish) force(about About) string {
	switch {
	case w.At.IsZero():
		return "nobody decided"
	case w.status != "approved":
		return "no"
	case w.kind == "push-approval":
		return "for that one push"
	case w.kind != "egress-allow":
		return "nothing was opened"
	case w.keep:
		return "yes, also in later bottles"
	case about.Alive:
		return "yes, until the bottle ends"
	case about.Kept:
		return "comes back when the bottle is resumed"
	}
	return "no, the bottle has ended"
}
