package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bottle.internal/internal/audit"
)

const maxProbes = 100

// life is what the host tells of the bottle itself.
func (b *Builder) life(line audit.Line, f fields) Class {
	now := b.present(line)
	switch line.Event {
	case "launch":
		b.launch(line)
	case "resumed":
		now.Resumed, now.Fresh = true, f.Fresh
		now.timeline.mark(line.Time, "resumed")
	case "running":
		now.Began = line.Time
		now.timeline.mark(line.Time, "agent starts")
	case "exit":
		now.Ended, now.Exit, now.Problem = line.Time, "ended without an exit code", text(f.Error)
		if f.Code != nil {
			now.Exit = fmt.Sprintf("exit code %d", *f.Code)
		}
		now.timeline.mark(line.Time, "agent ends")
	case "stopped":
		now.Stopped, now.Kept = true, f.Kept
	case "cut-off":
		return b.alarm(line, "bottle cut off", f.target(), first(f.Reason, "because of the canary that was seen"), new(true))
	}
	return b.common(line, f)
}

// launch begins a run. What was before the first one belongs to it.
func (b *Builder) launch(line audit.Line) {
	now := b.present(line)
	if !now.Agent.Empty() || !now.Identity.Empty() {
		now = b.begin(line.Time)
	}
	all := object(line)
	at := func(name string) Text { return text(plain(all[name])) }
	now.Identity, now.Agent, now.Bottle, now.Manifest = at("identity"), at("agent"), at("bottle"), at("manifest")
	now.Firewall, now.Tool = at("firewall"), at("vm_tool")
	now.Details = pairs(all, "identity", "agent", "bottle", "manifest", "firewall", "vm_tool", "event", "time")
}

// receipt takes any list of objects for the probes.
func (b *Builder) receipt(line audit.Line) Class {
	receipt, class := Receipt{At: line.Time}, Plain
	all, probes := object(line), ""
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var rows []map[string]json.RawMessage
		if json.Unmarshal(all[name], &rows) != nil || len(rows) == 0 {
			continue
		}
		probes = name
		receipt.Others = max(0, len(rows)-maxProbes)
		for _, row := range rows[:min(len(rows), maxProbes)] {
			probe := probeOf(row)
			receipt.Probes = append(receipt.Probes, probe)
			if probe.Bad {
				class = b.alarm(line, "boundary", probe.Name.safe, "expected "+probe.Expected.safe+", observed "+probe.Observed.safe, nil)
			}
		}
		break
	}
	receipt.Details = append(pairs(all, probes, "tools", "event", "time"), tools(all["tools"])...)
	b.receipts.add(receipt)
	return class
}

// tools are the digests of what the machine was started from: a line each, or they would be cut.
func tools(raw json.RawMessage) []Pair {
	var all map[string]json.RawMessage
	if raw == nil || json.Unmarshal(raw, &all) != nil {
		return nil
	}
	list := pairs(all)
	for i := range list {
		list[i].Name = text("sha256 of " + list[i].Name.safe)
	}
	return list
}

func probeOf(row map[string]json.RawMessage) Probe {
	at := func(names ...string) Text {
		for _, name := range names {
			if raw, ok := row[name]; ok {
				return text(plain(raw))
			}
		}
		return Text{}
	}
	p := Probe{
		Name: at("probe", "name"), Target: at("target"), Control: at("control"), Expected: at("expected", "expectation"),
		Observed: at("observed", "observation"), Verdict: at("verdict", "result"),
	}
	if hits, ok := row["hits"]; ok && string(hits) != "0" {
		p.Observed = text(fmt.Sprintf("%s (%s came through)", p.Observed, plain(hits)))
	}
	p.Bad = strings.EqualFold(p.Verdict.safe, "failed")
	return p
}
