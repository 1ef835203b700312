package report

import (
	"errors"
	"time"

	"bottle.internal/internal/audit"
)

const (
	keptEvents    = 500 // at each end
	keptPushes    = 200
	keptAsked     = 200
	keptRuns      = 4
	keptReceipts  = 3
	maxAlarms     = 300
	maxReached    = 1000
	maxRefused    = 200 // hosts to which nothing was allowed
	maxDenials    = 100 // rules
	maxTargets    = 10  // of one rule
	maxMethods    = 12
	maxOpenPushes = 1000
)

// Builder makes a report of the lines of a log, in their order. The zero value is ready.
type Builder struct {
	unsigned []audit.Line // since the last head

	first, last time.Time
	numbers     Numbers
	runs        ends[*run]
	alarms      groups[alarmKey, Alarm]
	hosts       hosts
	denials     groups[[2]Text, denial]
	held        groups[audit.Source, Held]
	pushes      pushes
	asked       asked
	receipts    ends[Receipt]
	events      ends[Event]
}

type alarmKey struct{ kind, source, target, what Text }

// run is a Run in the making.
type run struct {
	Run
	timeline timeline
}

// New makes a builder.
func New() *Builder {
	b := &Builder{}
	b.runs.keep, b.receipts.keep, b.events.keep = keptRuns, keptReceipts, keptEvents
	b.alarms.limit, b.denials.limit, b.held.limit = maxAlarms, maxDenials, len(audit.Sources())
	b.hosts.limit = maxReached + maxRefused
	b.pushes.list.keep, b.asked.list.keep = keptPushes, keptAsked
	return b
}

// Visit takes the next line. It counts when a head has signed it: what is before the break
// of a broken log may be forged since the head before.
func (b *Builder) Visit(line audit.Line) error {
	b.unsigned = append(b.unsigned, line)
	if line.IsHead() {
		b.sign()
	}
	return nil
}

func (b *Builder) sign() {
	for _, line := range b.unsigned {
		b.take(line)
	}
	clear(b.unsigned)
	b.unsigned = b.unsigned[:0]
}

// Report ends it with what [audit.Scan] returned.
func (b *Builder) Report(about About, expect audit.Expect, summary audit.Summary, err error) Report {
	chain := Chain{OK: err == nil, Asked: expect.Head, Live: expect.Live, Summary: summary}
	if err == nil {
		b.sign() // a bottle that runs signs them soon
	} else {
		chain.Problem, chain.LeftOut = err.Error(), len(b.unsigned)
		if broken := (*audit.BrokenError)(nil); errors.As(err, &broken) {
			chain.Kind = broken.Kind
		}
	}
	r := Report{Name: text(about.Name), Alive: about.Alive, Chain: chain, First: b.first, Last: b.last, Numbers: b.numbers}
	for _, alarm := range b.alarms.list {
		r.Alarms = append(r.Alarms, *alarm)
	}
	r.Missing.Alarms = b.alarms.more
	r.Hosts, r.Numbers.Reached, r.Missing.Hosts = b.hosts.table()
	for _, host := range r.Hosts {
		r.Numbers.Up, r.Numbers.Down = r.Numbers.Up+host.Up, r.Numbers.Down+host.Down
	}
	for _, d := range b.denials.list {
		r.Denials = append(r.Denials, d.table())
	}
	r.Missing.Targets = b.denials.more
	for _, held := range b.held.list {
		r.Held = append(r.Held, *held)
		r.Numbers.Held += held.Times
	}
	r.Pushes, r.Missing.Pushes = b.pushes.table()
	r.Asked, r.Missing.Asked = b.asked.table(about)
	r.Numbers.Open = len(b.asked.open)
	r.Receipts, r.Missing.Receipts = b.receipts.all()
	r.Events, r.Skipped, r.Tail = b.events.split()
	runs, missing := b.runs.all()
	r.MissingRuns = missing
	for _, run := range runs {
		r.Runs = append(r.Runs, run.finish())
	}
	return r
}

func (r *run) finish() Run {
	r.Lanes, r.Marks = r.timeline.picture()
	r.Span = r.timeline.span()
	return r.Run
}

// take reads a line that is true.
func (b *Builder) take(line audit.Line) {
	if b.first.IsZero() {
		b.first = line.Time
	}
	b.last = line.Time
	f := parse(line)
	class := b.tell(line, f)
	if line.IsHead() {
		return
	}
	now := b.present(line)
	b.numbers.Active += max(0, line.Time.Sub(now.End))
	now.End = line.Time
	now.timeline.add(line.Time, line.Source, class)
	b.numbers.Events++
	b.events.add(Event{line.Seq, line.Time, text(string(line.Source)), text(line.Event), details(line), class})
}

// present is the run that a line belongs to.
func (b *Builder) present(line audit.Line) *run {
	if len(b.runs.head) == 0 {
		b.begin(line.Time)
	}
	if n := len(b.runs.tail); n > 0 {
		return b.runs.tail[n-1]
	}
	return b.runs.head[len(b.runs.head)-1]
}

func (b *Builder) begin(at time.Time) *run {
	r := &run{Run: Run{Number: b.runs.seen + 1, Start: at, End: at}, timeline: newTimeline(at)}
	b.runs.add(r)
	return r
}

// tell notes what a line says. Who may say something is told by its pipe: the daemons of
// the bundle speak of their own work only, and the host of decisions and of the launch.
func (b *Builder) tell(line audit.Line, f fields) Class {
	switch line.Source {
	case audit.Firewall:
		return b.firewall(line, f)
	case audit.Egress:
		return b.egress(line, f)
	case audit.GitGate:
		return b.gitGate(line, f)
	case audit.Supervise:
		return b.supervise(line, f)
	case audit.Launch, audit.Host:
		return b.host(line, f)
	}
	if line.IsOwn() && line.Event == "full" {
		return b.alarm(line, "audit log full", "", "nothing can be written down any more: the bottle was stopped", nil)
	}
	return Plain
}

// common are the words that all daemons share.
func (b *Builder) common(line audit.Line, f fields) Class {
	switch line.Event {
	case "deny", "refused", "blocked":
		return b.deny(line, f.Rule, first(f.Method+" "+f.target()+f.Path, f.Tool), first(f.Reason, f.Problem))
	case "canary", "exfiltration":
		return b.alarm(line, line.Event, first(f.target(), f.Remote), first(f.Reason, f.Where), f.Blocked)
	case "suppressed":
		b.hold(line.Source, f.Count)
		return Denied
	case "fail":
		b.numbers.Failed++
		return Denied
	}
	return Plain
}

// hold counts what was not written one by one.
func (b *Builder) hold(source audit.Source, times int) {
	if held := b.held.get(source); held != nil {
		held.Source = text(string(source))
		held.Times += max(0, times)
	}
}

// alarm notes what a person must see.
func (b *Builder) alarm(line audit.Line, kind, target, what string, blocked *bool) Class {
	b.numbers.Alarms++
	key := alarmKey{text(kind), text(string(line.Source)), text(target), text(what)}
	a := b.alarms.get(key)
	if a == nil {
		return Alarmed
	}
	if a.Times == 0 {
		*a = Alarm{Kind: key.kind, Source: key.source, Target: key.target, What: key.what, First: line.Time}
		b.present(line).timeline.mark(line.Time, kind)
	}
	a.Times++
	a.Last = line.Time
	if blocked != nil {
		a.Cut = map[bool]string{true: "stopped", false: "only reported"}[*blocked]
	}
	return Alarmed
}

// first is the first text that says something.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" && t != " " {
			return t
		}
	}
	return ""
}
