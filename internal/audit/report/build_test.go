package report_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/audit/report"
	"bottle.internal/internal/audit/report/reporttest"
)

func line(source audit.Source, event, format string, args ...any) audit.Line {
	return audit.Line{Source: source, Event: event, Fields: json.RawMessage(fmt.Sprintf(format, args...)), Time: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
}

// Of a broken log the report has what is signed before the break, and says so loudly.
func TestBrokenLog(t *testing.T) {
	t.Parallel()
	w := reporttest.New(t)
	w.Say(1, audit.Firewall, "allow", `{"method":"CONNECT","host":"first.example.com","port":443}`)
	w.Sign() // line 4
	w.Say(1, audit.Firewall, "allow", `{"method":"CONNECT","host":"second.example.com","port":443}`)
	w.Say(1, audit.Firewall, "allow", `{"method":"CONNECT","host":"third.example.com","port":443}`)
	head := w.Close()
	good := text(t, w.Path)
	for _, test := range []struct {
		name, log, expect string
		problem           string
		covered           uint64
		hosts             int
	}{
		{"good", good, head, "", 7, 3},
		{"a signed line was changed", strings.Replace(good, "first", "fierst", 1), head, "line 3 does not have the hash that it names: it was changed", 2, 0},
		{"a later line was changed", strings.Replace(good, "third", "thierd", 1), head, "line 6 does not have the hash that it names: it was changed", 4, 1},
		{"half a line", good[:len(good)-9], "", "line 7 has no end: the log was cut in the middle of it, or its process was killed", 4, 1},
		{"the end was cut off", strings.Join(strings.SplitAfter(good, "\n")[:4], ""), head, "line 5 is missing: the log should reach " + head + ", its end was cut off", 4, 1},
		{"nothing", "", "", "line 1 is missing: the log is empty", 0, 0},
	} {
		r := read(t, test.log, report.About{Name: "demo-x7k2p"}, audit.Expect{Head: test.expect})
		if r.Chain.OK != (test.problem == "") || r.Chain.Problem != test.problem || r.Chain.Covered() != test.covered || len(r.Hosts) != test.hosts {
			t.Errorf("%s: %+v covers %d lines, %d hosts", test.name, r.Chain, r.Chain.Covered(), len(r.Hosts))
		}
		page, markdown := render(t, r)
		if strings.Contains(page, "This audit log is broken") == r.Chain.OK || strings.Contains(markdown, "**THIS AUDIT LOG IS BROKEN:**") == r.Chain.OK {
			t.Errorf("%s: the pages do not say so", test.name)
		}
		if strings.Contains(page, "is intact") != r.Chain.OK || strings.Contains(markdown, "**intact") != r.Chain.OK {
			t.Errorf("%s: the pages call it intact", test.name)
		}
	}
}

// A bottle that runs has lines that nobody signed yet: they count, and it is said.
func TestLiveLog(t *testing.T) {
	t.Parallel()
	w := reporttest.New(t)
	w.Say(1, audit.Firewall, "allow", `{"method":"CONNECT","host":"first.example.com","port":443}`)
	w.Sign()
	w.Say(1, audit.Firewall, "allow", `{"method":"CONNECT","host":"second.example.com","port":443}`)
	w.Close()
	lines := strings.SplitAfter(text(t, w.Path), "\n")
	live := strings.Join(lines[:5], "")
	r := read(t, live, report.About{Name: "demo-x7k2p", Alive: true}, audit.Expect{Live: true})
	page, _ := render(t, r)
	if !r.Chain.OK || r.Chain.Unsigned != 1 || len(r.Hosts) != 2 || !strings.Contains(page, "its last lines, 1, are not signed yet") || !strings.Contains(page, "the bottle is running") {
		t.Errorf("%+v, %d hosts", r.Chain, len(r.Hosts))
	}
	if r := read(t, live, report.About{Name: "demo-x7k2p"}, audit.Expect{}); r.Chain.OK || len(r.Hosts) != 1 {
		t.Errorf("of a bottle that has ended: %+v, %d hosts", r.Chain, len(r.Hosts))
	}
}

// A daemon that was taken over cannot speak for the host, and no daemon for another.
func TestWhoSaysWhat(t *testing.T) {
	t.Parallel()
	for _, l := range []audit.Line{
		line(audit.Supervise, "decision", `{"id":"1","kind":"egress-allow","host":"evil.example","status":"approved","by":"ada"}`),
		line(audit.Supervise, "push-allow", `{"push":1,"remote":"app"}`),
		line(audit.Egress, "launch", `{"identity":"other"}`),
		line(audit.Firewall, "receipt", `{"results":[{"probe":"x","verdict":"passed"}]}`),
		line(audit.Init, "allow", `{"host":"evil.example","port":443}`),
		line(audit.Echo, "canary", `{"host":"evil.example"}`),
		line(audit.GitGate, "exit", `{"code":0}`),
		line(audit.Egress, "full", `{}`),
	} {
		r := made(t, "x", []audit.Line{l})
		if len(r.Asked)+len(r.Pushes)+len(r.Receipts)+len(r.Hosts)+len(r.Alarms) > 0 || r.Runs[0].Exit != "" || !r.Runs[0].Identity.Empty() {
			t.Errorf("%s says %s, and the report believes it: %+v", l.Source, l.Event, r)
		}
	}
}

// What a guest can cause without end hides nothing else.
func TestFloods(t *testing.T) {
	t.Parallel()
	var lines []audit.Line
	for i := range 20_000 {
		lines = append(lines,
			line(audit.Firewall, "deny", `{"method":"M%d","host":"h%d.example.net","port":443,"rule":"allowlist","reason":"no"}`, i, i),
			line(audit.Egress, "canary", `{"host":"h%d.example.net","reason":"canary 0 in the body"}`, i),
			line(audit.GitGate, "push-deny", `{"push":%d,"remote":"app","rule":"size"}`, i+1),
			line(audit.Host, "proposal", `{"id":"%d","kind":"egress-allow","host":"h"}`, i),
			line(audit.Host, "receipt", `{"results":[{"probe":"p%d"}]}`, i),
		)
	}
	lines = append(lines,
		line(audit.Firewall, "allow", `{"method":"CONNECT","host":"secret.example.com","port":443}`),
		line(audit.Firewall, "close", `{"host":"secret.example.com","port":443,"bytes_up":5000,"bytes_down":7}`),
		line(audit.Egress, "deny", `{"method":"GET","host":"secret.example.com","port":443,"rule":"paths","reason":"the last"}`),
		line(audit.GitGate, "push-allow", `{"push":30000,"remote":"the-last"}`),
	)
	r := made(t, "x", lines)
	page, markdown := render(t, r)
	for _, want := range []string{"secret.example.com", "the last", "the-last"} {
		if !strings.Contains(page, want) || !strings.Contains(markdown, want) {
			t.Errorf("the flood hides %q", want)
		}
	}
	if got := r.Hosts[0]; got.Target.String() != "secret.example.com:443" || got.Up != 5000 || got.Allowed != 1 || got.Denied != 1 {
		t.Errorf("the host: %+v", got)
	}
	if r.Numbers.Denied != 20_001 || r.Numbers.Alarms != 20_000 || r.Numbers.Refused != 20_000 || r.Denials[0].Times != 20_000 {
		t.Errorf("the numbers: %+v, %d", r.Numbers, r.Denials[0].Times)
	}
	if r.Missing.Alarms != 20_000-len(r.Alarms) || r.Missing.Pushes != 20_001-len(r.Pushes) || r.Missing.Asked != 20_000-len(r.Asked) || r.Skipped != len(lines)-1000 {
		t.Errorf("what is missing: %+v, %d events", r.Missing, r.Skipped)
	}
	if len(page) > 2<<20 || len(markdown) > 1<<20 {
		t.Errorf("the pages have %d and %d bytes", len(page), len(markdown))
	}
}

// The log is never in memory: what a builder holds does not grow with it.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 40 MB")
	}
	b := report.New()
	long := strings.Repeat("x", 4000)
	var before, after runtime.MemStats
	const lines = 10_000
	for i := range lines {
		l := line(audit.Egress, "deny", `{"host":"h%d-%s.example","path":"/%s","rule":"r%d","reason":"%d"}`, i, long[:200], long, i, i)
		if i%64 == 0 {
			l = line("audit", "head", `{}`)
		}
		if err := b.Visit(l); err != nil {
			t.Fatal(err)
		}
		if i == lines/8 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the builder grew by %d bytes", grown)
	}
	runtime.KeepAlive(b)
}

// The firewall's totals hold what a connection moved that has no end yet; they begin again
// with the firewall.
func TestBytes(t *testing.T) {
	t.Parallel()
	r := made(t, "x", []audit.Line{
		line(audit.Firewall, "ready", `{}`),
		line(audit.Firewall, "allow", `{"host":"a.test","port":443,"method":"CONNECT"}`),
		line(audit.Firewall, "close", `{"host":"a.test","port":443,"bytes_up":10,"bytes_down":100}`),
		line(audit.Firewall, "totals", `{"host":"a.test","port":443,"bytes_up":15,"bytes_down":150,"count":2}`),
		line(audit.Firewall, "totals", `{"host":"a.test","port":443,"bytes_up":20,"bytes_down":200,"count":2}`),
		line(audit.Firewall, "ready", `{}`),
		line(audit.Firewall, "close", `{"host":"a.test","port":443,"bytes_up":1,"bytes_down":2}`),
		line(audit.Firewall, "close", `{"host":"never.test","port":443,"bytes_up":1,"bytes_down":2}`),
		line(audit.Egress, "close", `{"host":"a.test","port":443,"bytes_up":7,"bytes_down":8}`),
	})
	if len(r.Hosts) != 1 || r.Hosts[0].Up != 21 || r.Hosts[0].Down != 202 {
		t.Errorf("hosts: %+v", r.Hosts)
	}
}

func TestForce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		about report.About
		event string
		want  string
	}{
		{report.About{}, `{"kind":"egress-allow","status":"approved"}`, "no, the bottle has ended"},
		{report.About{Alive: true}, `{"kind":"egress-allow","status":"approved"}`, "yes, until the bottle ends"},
		{report.About{Kept: true}, `{"kind":"egress-allow","status":"approved"}`, "comes back when the bottle is resumed"},
		{report.About{}, `{"kind":"egress-allow","status":"approved","keep":true}`, "yes, also in later bottles"},
		{report.About{Alive: true}, `{"kind":"egress-allow","status":"failed","keep":true}`, "no"},
		{report.About{Alive: true}, `{"kind":"egress-allow","status":"rejected"}`, "no"},
		{report.About{Alive: true}, `{"kind":"push-approval","status":"approved"}`, "for that one push"},
		{report.About{Alive: true}, `{"kind":"capability-request","status":"approved"}`, "nothing was opened"},
	} {
		b := report.New()
		if err := b.Visit(line(audit.Host, "decision", "%s", test.event)); err != nil {
			t.Fatal(err)
		}
		if got := b.Report(test.about, audit.Expect{}, audit.Summary{}, nil).Asked[0].Force; got != test.want {
			t.Errorf("%s %+v: %q, want %q", test.event, test.about, got, test.want)
		}
	}
}

// A picture has room for any length, and a clock that goes back breaks nothing.
func TestTimeline(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name  string
		after []time.Duration
		span  time.Duration
	}{
		{"at once", []time.Duration{0}, time.Second},
		{"an hour", []time.Duration{0, time.Minute, time.Hour}, time.Hour},
		{"the clock goes back", []time.Duration{time.Hour, 0, 2 * time.Hour}, time.Hour},
		{"a century", []time.Duration{0, 100 * 365 * 24 * time.Hour}, 100 * 365 * 24 * time.Hour},
		{"longer than a duration can be", []time.Duration{0, 1 << 62, 1<<63 - 1}, 1<<63 - 1},
	} {
		var lines []audit.Line
		for _, after := range test.after {
			l := line(audit.Firewall, "allow", `{"host":"a.test"}`)
			l.Time = start.Add(after)
			lines = append(lines, l)
		}
		r := made(t, "x", lines)
		run := r.Runs[0]
		events := 0
		for _, tick := range run.Lanes[0].Ticks {
			if tick.At < 0 || tick.At > 1 {
				t.Errorf("%s: a tick at %v", test.name, tick.At)
			}
			events += tick.Times
		}
		if run.Span != test.span || events != len(lines) {
			t.Errorf("%s: span %v, %d events", test.name, run.Span, events)
		}
		page, _ := render(t, r)
		if n := strings.Count(page, `<line class="axis"`); n > 15 {
			t.Errorf("%s: %d lines", test.name, n)
		}
	}
}
