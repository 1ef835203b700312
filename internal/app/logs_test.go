package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/names"
	"bottle.internal/internal/state"
	"bottle.internal/internal/timeline"
)

// shown runs Logs and returns what it visited.
func shown(t *testing.T, a *App, request LogsRequest) (string, error) {
	t.Helper()
	var words []string
	if request.Idle == nil {
		request.Idle = func() error { return nil }
	}
	err := a.Logs(t.Context(), request, func(r timeline.Record) error {
		words = append(words, r.Describe())
		return nil
	})
	return strings.Join(words, ", "), err
}

// logged writes denials, one a second, and returns when the first was.
func (a *App) logged(t *testing.T, id names.Identity, count int) time.Time {
	t.Helper()
	key, err := audit.LoadKey(a.auditKey(), strings.NewReader(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	now := begin.Add(-time.Second)
	log, err := audit.Open(a.auditLog(id), key, func() time.Time { now = now.Add(time.Second); return now })
	if err != nil {
		t.Fatal(err)
	}
	now = begin.Add(-time.Second)
	for i := range count {
		err := log.Append(t.Context(), audit.Record{Source: audit.Egress, Event: "deny", Fields: map[string]any{"host": fmt.Sprintf("h%d.test", i), "port": 443}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return begin
}

// Of a bottle that is gone the audit log is left.
func TestLogsOfABottleThatIsGone(t *testing.T) {
	a := newApp(t)
	begin := a.logged(t, "demo-aaaaa", 5)
	for _, test := range []struct {
		name    string
		request LogsRequest
		want    string
	}{
		{"all", LogsRequest{Tail: -1}, "deny h0.test, deny h1.test, deny h2.test, deny h3.test, deny h4.test"},
		{"following ends at once", LogsRequest{Tail: -1, Follow: true, Since: begin.Add(4 * time.Second)}, "deny h4.test"},
		{"since and until include their time", LogsRequest{Tail: -1, Since: begin.Add(time.Second), Until: begin.Add(2 * time.Second)}, "deny h1.test, deny h2.test"},
		{"tail", LogsRequest{Tail: 2}, "deny h3.test, deny h4.test"},
		{"tail of what is wanted", LogsRequest{Tail: 2, Until: begin.Add(2 * time.Second)}, "deny h1.test, deny h2.test"},
		{"a tail longer than the log", LogsRequest{Tail: 9, Until: begin}, "deny h0.test"},
		{"no tail", LogsRequest{Tail: 0}, ""},
		{"sources", LogsRequest{Tail: -1, Sources: []timeline.Source{timeline.Egress}, Until: begin}, "deny h0.test"},
		{"other sources", LogsRequest{Tail: -1, Sources: []timeline.Source{timeline.VM, timeline.Agent}}, ""},
	} {
		test.request.Identity = "demo-aaaaa"
		if got, err := shown(t, a, test.request); err != nil || got != test.want {
			t.Errorf("%s: %s, %v; want %s", test.name, got, err, test.want)
		}
	}
	_, err := shown(t, a, LogsRequest{Identity: "demo-zzzzz"})
	if want := "there is no bottle demo-zzzzz, and no log of one"; err == nil || err.Error() != want {
		t.Errorf("of nobody: %v, want %s", err, want)
	}
}

// Following ends when the directory is gone and the audit log was closed, in that order or
// the other: what is written in between is shown.
func TestFollowEndsWithTheBottle(t *testing.T) {
	a := newApp(t)
	instance := instanceOf(t, a, "demo-aaaaa", os.Getpid())
	log, err := a.openAudit("demo-aaaaa")
	if err != nil {
		t.Fatal(err)
	}
	note := func(event string) {
		err := errors.Join(log.Append(t.Context(), audit.Record{Source: audit.Host, Event: event}), log.Flush(t.Context()))
		if err != nil {
			t.Error(err)
		}
	}
	note("running")
	looks := 0
	got, err := shown(t, a, LogsRequest{Identity: "demo-aaaaa", Follow: true, Tail: -1, Idle: func() error {
		switch looks++; looks {
		case 1:
			err := instance.WriteFile(state.AgentLog, []byte(`{"time":"2026-01-02T12:00:00Z","text":"hello"}`+"\n"))
			if err != nil {
				t.Error(err)
			}
		case 2:
			if err := instance.Remove(); err != nil {
				t.Error(err)
			}
			note("stopped")
		case 4: // the log is still being written
			note("last")
			if err := log.Close(); err != nil {
				t.Error(err)
			}
		}
		return nil
	}})
	if want := "running, hello, stopped, last"; err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

// An interrupt ends a wait at once.
func TestFollowIsInterrupted(t *testing.T) {
	a := newApp(t)
	instance := instanceOf(t, a, "demo-aaaaa", os.Getpid())
	a.launched(t, "demo-aaaaa")
	ctx, cancel := context.WithCancel(t.Context())
	err := a.Logs(ctx, LogsRequest{Identity: "demo-aaaaa", Follow: true, Tail: -1, Idle: func() error {
		cancel()
		return nil
	}}, func(timeline.Record) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Logs() = %v", err)
	}
	if err := instance.Remove(); err != nil {
		t.Error(err)
	}
}

// A log that somebody touched is an error beside what is true; one whose process was killed
// is shown whole.
func TestLogsOfABrokenLog(t *testing.T) {
	a := newApp(t)
	a.logged(t, "demo-aaaaa", 2)
	path := a.auditLog("demo-aaaaa")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for _, test := range []struct{ name, text, want, problem string }{
		{
			"changed", strings.Replace(string(whole), "h1.test", "h2.test", 1), "deny h0.test",
			"the audit log of demo-aaaaa is shown up to where it is true: line 4 does not have the hash that it names: it was changed",
		},
		{"killed before a signature", strings.Join(lines[:4], ""), "deny h0.test, deny h1.test", ""},
		{"killed in the middle of a line", strings.Join(lines[:3], "") + lines[3][:10], "deny h0.test", ""},
	} {
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := shown(t, a, LogsRequest{Identity: "demo-aaaaa", Tail: -1})
		if problem := fmt.Sprint(err); got != test.want || problem != test.problem && (err != nil || test.problem != "") {
			t.Errorf("%s: %s, %v; want %s, %s", test.name, got, err, test.want, test.problem)
		}
	}
}

// The newest denial, from the end of a log that is never read whole.
func TestLastDenial(t *testing.T) {
	a := newApp(t)
	if got := a.lastDenial("demo-aaaaa"); got != nil {
		t.Errorf("without a log: %+v", got)
	}
	begin := a.logged(t, "demo-aaaaa", 3)
	got := a.lastDenial("demo-aaaaa")
	if want := (Denial{Time: begin.Add(2 * time.Second), Source: "egress", Event: "deny", Target: "h2.test"}); got == nil || *got != want {
		t.Errorf("lastDenial() = %+v, want %+v", got, want)
	}
	// A text that looks like a denial is none, nor is half a line.
	text := `{"event":"text","fields":{"text":"\"event\":\"deny\""}}` + "\n" + `{"event":"deny","fields":{}}` + "half"
	file, err := os.OpenFile(a.auditLog("demo-aaaaa"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if again := a.lastDenial("demo-aaaaa"); again == nil || *again != *got {
		t.Errorf("lastDenial() = %+v, want %+v", again, got)
	}
	// What is further back than the tail is not looked for.
	if _, err := file.WriteString(strings.Repeat("x", denialTail) + "\n"); err != nil {
		t.Fatal(err)
	}
	if got := a.lastDenial("demo-aaaaa"); got != nil {
		t.Errorf("beyond the tail: %+v", got)
	}
	if err := errors.Join(os.Remove(a.auditLog("demo-aaaaa")), os.Symlink("/dev/zero", a.auditLog("demo-aaaaa"))); err != nil {
		t.Fatal(err)
	}
	if got := a.lastDenial("demo-aaaaa"); got != nil {
		t.Errorf("through a link: %+v", got)
	}
}

// BenchmarkList is 20 bottles with full logs, which list must not read.
func BenchmarkList(b *testing.B) {
	b.Setenv("DOCKER_HOST", "unix:///nonexistent")
	home := b.TempDir()
	a, err := New(Config{Environ: []string{"HOME=" + home}, Dir: home})
	if err != nil {
		b.Fatal(err)
	}
	if err := os.MkdirAll(a.state.Dir()+"/"+state.AuditDir, 0o700); err != nil {
		b.Fatal(err)
	}
	line := `{"seq":1,"time":"2026-01-02T12:00:00Z","source":"egress","event":"allow","fields":{"host":"api.example.com","path":"` + strings.Repeat("/v1", 100) + `"}}` + "\n"
	tail := strings.Repeat(line, denialTail/len(line))
	for i := range 20 {
		id := names.Identity(fmt.Sprintf("demo-aaa%c%c", 'b'+i%10, 'c'+i/10))
		instance, err := a.state.Create(id)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(instance.Unlock)
		path := a.auditLog(id)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			b.Fatal(err)
		}
		if err := os.Truncate(path, audit.MaxSize-int64(len(tail))); err != nil { // a hole costs no disk
			b.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		_, err = file.WriteString("\n" + tail)
		if err := errors.Join(err, file.Close()); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if rows, problems := a.List(b.Context()); len(rows) != 20 || len(problems) > 0 {
			b.Fatal(len(rows), problems)
		}
	}
}
