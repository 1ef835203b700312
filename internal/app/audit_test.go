package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"bottle.internal/internal/audit"
	"bottle.internal/internal/names"
)

// oldLogs makes logs of bottles that are gone, the oldest first, and returns their names.
func (a *App) oldLogs(t *testing.T, count int) []string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(a.auditKey()), 0o700); err != nil {
		t.Fatal(err)
	}
	const digits = "23456789abcdefghjkmnpqrstuvwxyz"
	begin := time.Now().Add(-24 * time.Hour)
	var identities []string
	for i := range count {
		id := fmt.Sprintf("demo-aa%c%c%c", digits[i/400%20], digits[i/20%20], digits[i%20])
		path := a.auditLog(names.Identity(id))
		if err := os.WriteFile(path, []byte("an old log\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		at := begin.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		identities = append(identities, id)
	}
	return identities
}

// launched opens the log of a new bottle and closes it again.
func (a *App) launched(t *testing.T, id names.Identity) {
	t.Helper()
	log, err := a.openAudit(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(t.Context(), audit.Record{Source: audit.Launch, Event: "launch", Fields: map[string]any{"identity": string(id)}}); err != nil {
		t.Error(err)
	}
	if err := a.closeAudit(t.Context(), string(id), log); err != nil {
		t.Error(err)
	}
}

func (a *App) logs(t *testing.T) []string {
	t.Helper()
	logs, problems := a.AuditLogs()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return logs
}

// 200 logs outlive their bottles, the new one among them; the oldest go first.
func TestOldAuditLogsMakeWay(t *testing.T) {
	for name, count := range map[string]int{"there is room": keptLogs - 1, "it is full": keptLogs, "somebody copied logs here": keptLogs + 7} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t)
			old := a.oldLogs(t, count)
			a.launched(t, "demo-zzzzz")
			want := append(old[count-(keptLogs-1):], "demo-zzzzz")
			if got := a.logs(t); !slices.Equal(got, want) {
				t.Errorf("%d logs, from %s to %s; want %d, from %s", len(got), got[0], got[len(got)-1], len(want), want[0])
			}
		})
	}
}

// However old it is, the log of a bottle that runs is not removed: its owner still writes it.
func TestLogOfARunningBottleStays(t *testing.T) {
	a := newApp(t)
	old := a.oldLogs(t, keptLogs+1)
	running := instanceOf(t, a, names.Identity(old[0]), os.Getpid())
	stopped := instanceOf(t, a, names.Identity(old[1]), os.Getpid())
	stopped.Unlock() // its owner died
	a.launched(t, "demo-zzzzz")
	logs := a.logs(t)
	if !slices.Contains(logs, old[0]) || slices.Contains(logs, old[1]) {
		t.Errorf("the oldest logs are %q", logs[:3])
	}
	if err := running.Remove(); err != nil {
		t.Error(err)
	}
	if err := stopped.Lock(); err != nil {
		t.Fatal(err)
	}
	if err := stopped.Remove(); err != nil {
		t.Error(err)
	}
}

// Other files in the directory are no logs: the key above all.
func TestOtherFilesAreNoLogs(t *testing.T) {
	a := newApp(t)
	a.oldLogs(t, keptLogs+1)
	dir := filepath.Dir(a.auditKey())
	others := []string{"notes.jsonl.bak", "UPPER-aaaaa.jsonl", "demo-aaaaa.json", ".jsonl"}
	for _, name := range others {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a.launched(t, "demo-zzzzz")
	for _, name := range append(others, "key") {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if logs := a.logs(t); len(logs) != keptLogs {
		t.Errorf("%d logs", len(logs))
	}
}

// What a launch wrote can be verified by its identity, as long as its log is there.
func TestLogOutlivesItsBottle(t *testing.T) {
	a := newApp(t)
	if logs := a.logs(t); len(logs) > 0 {
		t.Errorf("logs %q before any launch", logs)
	}
	if _, err := a.VerifyAudit("demo-zzzzz", ""); err == nil || err.Error() != "this host has no audit key: no bottle was started here" {
		t.Errorf("VerifyAudit() = %v", err)
	}
	a.launched(t, "demo-zzzzz")
	report, err := a.VerifyAudit("demo-zzzzz", "")
	if err != nil || !report.OK || report.File != a.auditLog("demo-zzzzz") {
		t.Errorf("VerifyAudit() = %+v, %v", report, err)
	}
	_, err = a.VerifyAudit("demo-yyyyy", "")
	var problem *Problem
	if want := "there is no audit log " + a.auditLog("demo-yyyyy"); !errors.As(err, &problem) || err.Error() != want {
		t.Errorf("VerifyAudit() = %v, want %q", err, want)
	}
}

// The true log of another bottle is none of this one's; as a file it is what it is.
func TestLogOfAnotherBottle(t *testing.T) {
	a := newApp(t)
	a.launched(t, "demo-zzzzz")
	if err := os.Rename(a.auditLog("demo-zzzzz"), a.auditLog("demo-yyyyy")); err != nil {
		t.Fatal(err)
	}
	report, err := a.VerifyAudit("demo-yyyyy", "")
	if err != nil || report.OK || report.Kind != audit.Misplaced || report.Problem != "line 3 is of another bottle, demo-zzzzz" {
		t.Errorf("VerifyAudit() = %+v, %v", report, err)
	}
	if report, err := a.VerifyAudit(a.auditLog("demo-yyyyy"), ""); err != nil || !report.OK {
		t.Errorf("as a file: %+v, %v", report, err)
	}
}
