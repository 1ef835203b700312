package report

import (
	"cmp"
	"slices"

	"bottle.internal/internal/audit"
)

func (b *Builder) firewall(line audit.Line, f fields) Class {
	switch line.Event {
	case "ready":
		b.hosts.restart()
		return Plain
	case "engine":
		if f.Kind != "blocked" {
			return Plain
		}
		return b.deny(line, "engine: "+f.Scanner, f.target(), f.Reason)
	case "allow":
		b.numbers.Allowed++
		b.hosts.allowed(line, f)
		return Allowed
	case "close", "totals":
		b.hosts.bytes(f, line.Event == "totals", false)
		return Plain
	case "deny":
		b.hosts.denied(line, f)
		if f.Rule == "secret" {
			b.deny(line, f.Rule, f.Method+" "+f.target()+f.Path, f.Reason)
			return b.alarm(line, "secret", f.target(), f.Reason, new(true))
		}
	case "fail":
		b.hosts.failed(line, f)
	}
	return b.common(line, f)
}

func (b *Builder) egress(line audit.Line, f fields) Class {
	switch line.Event {
	case "allow":
		b.numbers.Requests++
		b.hosts.routed(line, f)
		return Allowed
	case "close":
		b.hosts.bytes(f, false, true)
		return Plain
	case "deny":
		b.hosts.denied(line, f)
	case "fail":
		b.hosts.failed(line, f)
	}
	return b.common(line, f)
}

// hosts counts what went where. Hosts to which something was allowed have room of their
// own: refusals, of which a guest can make many, do not push them out.
type hosts struct {
	groups[Text, host]
	refused int // of the list: with refusals only
}

// host is a Host in the making.
type host struct {
	Host
	methods groups[Text, Count]
	// The firewall counts each connection at its end, and now and then all since its start.
	closedUp, closedDown, totalUp, totalDown, doneUp, doneDown int64
	plainUp, plainDown                                         int64 // egress's count
	known                                                      bool
	reached                                                    bool
}

func (h *hosts) at(line audit.Line, f fields, allowed bool) *host {
	name := text(f.target())
	if name.Empty() || !h.has(name) && !allowed && h.refused >= maxRefused {
		h.more++
		return nil
	}
	host := h.get(name)
	if host == nil {
		return nil
	}
	if !host.known {
		host.known, host.Target, host.First, host.methods.limit = true, name, line.Time, maxMethods
		if !allowed {
			h.refused++
		}
	}
	if allowed && !host.reached {
		host.reached = true
	}
	host.Last = line.Time
	return host
}

func (h *hosts) allowed(line audit.Line, f fields) {
	if host := h.at(line, f, true); host != nil {
		host.Allowed++
		host.method(f.Method)
	}
}

func (h *hosts) routed(line audit.Line, f fields) {
	if host := h.at(line, f, true); host != nil {
		host.Routed = true
		host.method(f.Method)
	}
}

func (h *hosts) denied(line audit.Line, f fields) {
	if host := h.at(line, f, false); host != nil {
		host.Denied++
		host.method(f.Method)
	}
}

func (h *hosts) failed(line audit.Line, f fields) {
	if host := h.at(line, f, false); host != nil {
		host.Failed++
	}
}

func (h *host) method(name string) {
	if m := h.methods.get(text(name)); m != nil && name != "" {
		m.Name = text(name)
		m.Times++
	}
}

// bytes counts what a connection moved. Those of a host that was never seen are none.
func (h *hosts) bytes(f fields, all, routed bool) {
	host := h.byKey[text(f.target())]
	up, down := max(0, f.Up), max(0, f.Down)
	switch {
	case host == nil:
	case routed:
		host.plainUp, host.plainDown = host.plainUp+up, host.plainDown+down
	case all:
		host.totalUp, host.totalDown = up, down
	default:
		host.closedUp, host.closedDown = host.closedUp+up, host.closedDown+down
	}
}

// restart begins the firewall's counts again.
func (h *hosts) restart() {
	for _, host := range h.list {
		host.settle()
	}
}

func (h *host) settle() {
	h.doneUp += max(h.closedUp, h.totalUp)
	h.doneDown += max(h.closedDown, h.totalDown)
	h.closedUp, h.closedDown, h.totalUp, h.totalDown = 0, 0, 0, 0
}

func (h *hosts) table() (list []Host, reached, missing int) {
	for _, host := range h.list {
		host.settle()
		host.Up, host.Down = host.doneUp, host.doneDown
		if host.Up+host.Down == 0 {
			host.Up, host.Down = host.plainUp, host.plainDown
		}
		for _, method := range host.methods.list {
			if method.Times > 0 {
				host.Methods = append(host.Methods, *method)
			}
		}
		if host.reached {
			reached++
		}
		list = append(list, host.Host)
	}
	slices.SortStableFunc(list, func(a, b Host) int {
		return cmp.Or(cmp.Compare(b.Up+b.Down, a.Up+a.Down), cmp.Compare(b.Allowed, a.Allowed), cmp.Compare(b.Denied, a.Denied))
	})
	return list, reached, h.more
}

// denial is a Denial in the making.
type denial struct {
	Denial
	targets groups[[2]Text, Target]
}

func (b *Builder) deny(line audit.Line, rule, target, reason string) Class {
	b.numbers.Denied++
	key := [2]Text{text(string(line.Source)), text(rule)}
	d := b.denials.get(key)
	if d == nil {
		return Denied
	}
	d.Source, d.Rule, d.targets.limit = key[0], key[1], maxTargets
	d.Times++
	of := [2]Text{text(target), text(reason)}
	if t := d.targets.get(of); t != nil {
		if t.Times == 0 {
			t.First = line.Time
		}
		t.Name, t.Reason, t.Last = of[0], of[1], line.Time
		t.Times++
	}
	return Denied
}

func (d *denial) table() Denial {
	for _, t := range d.targets.list {
		d.Targets = append(d.Targets, *t)
	}
	d.Others = d.targets.more
	return d.Denial
}
