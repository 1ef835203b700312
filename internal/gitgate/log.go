package gitgate

import (
	"time"

	"bottle.internal/internal/canary"
	"bottle.internal/internal/printable"
)

// Events of the log.
const (
	eventReady      = "ready"
	eventReload     = "reload"
	eventDeny       = "deny"       // a request that is not for us; may be suppressed
	eventFetch      = "fetch"      // the agent fetches, or asks what there is
	eventRefresh    = "refresh"    // the mirror was compared with the upstream
	eventPushAllow  = "push-allow" // written after the upstream took it
	eventPushStart  = "push-start" // written before the first byte goes to the upstream
	eventPushDeny   = "push-deny"
	eventCanary     = canary.Event // beside the push-deny
	eventApproval   = "approval"
	eventSuppressed = "suppressed"
)

// line is one JSON line. It has no place for content, a header or a query.
type line struct {
	Time     time.Time `json:"time"`
	Event    string    `json:"event"`
	Push     uint64    `json:"push,omitempty"`
	Remote   string    `json:"remote,omitempty"`
	Refs     []refLine `json:"refs,omitempty"`
	Commits  *int      `json:"commits,omitempty"`
	Objects  int       `json:"objects,omitempty"`
	Bytes    int64     `json:"bytes,omitempty"`
	Rule     string    `json:"rule,omitempty"`
	Commit   string    `json:"commit,omitempty"`
	Path     string    `json:"path,omitempty"`
	Line     int       `json:"line,omitempty"`
	Decision string    `json:"decision,omitempty"`
	Changed  *bool     `json:"changed,omitempty"`
	Method   string    `json:"method,omitempty"`
	Status   int       `json:"status,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Where    string    `json:"where,omitempty"`
	Print    string    `json:"fingerprint,omitempty"`
	Blocked  *bool     `json:"blocked,omitempty"`
	Millis   *float64  `json:"duration_ms,omitempty"`
	Count    int       `json:"count,omitempty"`
	Listen   string    `json:"listen,omitempty"`
	Remotes  *int      `json:"remotes,omitempty"`
	Problem  string    `json:"problem,omitempty"`
}

// refLine is one ref of a push.
type refLine struct {
	Ref string `json:"ref"`
	Old string `json:"old"`
	New string `json:"new"`
}

// At implements [journal.Line].
func (l line) At(now time.Time) line {
	l.Time = now
	return l
}

// Bucket implements [journal.Line]: requests that are not for us and fetches are held back;
// everything about a push is written.
func (l line) Bucket() (name string, limited bool) {
	return "", l.Event == eventDeny || l.Event == eventFetch
}

// Suppressed implements [journal.Line].
func (line) Suppressed(_ string, count int) line {
	return line{Event: eventSuppressed, Count: count, Reason: "lines came too fast to write each"}
}

func (p *push) log(why *refusal) {
	commits := len(p.found.commits)
	entry := line{
		Event: eventPushAllow, Push: p.serial, Remote: p.remote.spec.Name, Refs: p.refs(), Commits: &commits,
		Objects: p.found.count(), Bytes: p.found.bytes, Millis: millisSince(p.begin, p.gate.options.Now()),
	}
	if why != nil {
		entry.Event, entry.Rule, entry.Commit, entry.Line = eventPushDeny, why.rule, why.commit, why.line
		if why.hide {
			for i := range entry.Refs {
				entry.Refs[i].Ref = "(a name that holds a secret)"
			}
		}
		entry.Path, entry.Reason = p.shownPath(why.path), printable.ASCII(why.reason, 400)
	}
	if why != nil && why.canary != "" {
		p.gate.journal.Write(p.alarm(entry, why))
	}
	p.gate.journal.Write(entry)
}

// alarm says that a canary was on its way to the upstream. It is refused whatever on_canary
// is: a secret never passes.
func (p *push) alarm(entry line, why *refusal) line {
	entry.Event, entry.Method, entry.Blocked, entry.Print = eventCanary, "push", new(true), why.canary
	entry.Commits, entry.Objects, entry.Bytes, entry.Millis = nil, 0, 0, nil
	entry.Where = "objects"
	if why.commit == "" {
		entry.Where = "name of the branch"
	}
	entry.Reason = "a canary in the " + entry.Where
	return entry
}

// shownPath leaves out a path in which an object before it has a canary.
func (p *push) shownPath(path string) string {
	if _, found := p.gate.config.Load().canaries.Find(path); found {
		return "(a path that holds a canary)"
	}
	return printable.ASCII(path, 400)
}

// refs are as they were sent, made safe to print.
func (p *push) refs() []refLine {
	refs := make([]refLine, 0, len(p.request.Commands))
	for _, cmd := range p.request.Commands[:min(len(p.request.Commands), p.limits.Refs)] {
		refs = append(refs, refLine{printable.ASCII(cmd.Ref, maxRef), cmd.Old, cmd.New})
	}
	return refs
}
