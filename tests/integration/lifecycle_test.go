//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bottle.internal/tests/integration/rig"
)

// teardown is what mage gives its targets after ^C.
const teardown = 5 * time.Second

// The second start with everything cached: it builds, packs and loads nothing, passes
// the agent's streams and exit code on, and leaves nothing.
func TestStartAgain(t *testing.T) {
	w := setup(t)
	theBottle(t) // the first start was the shared one
	p, err := w.start(strings.NewReader("from stdin\n"), "start", "it-seven", "--yes", "--rm")
	if err != nil {
		t.Fatal(err)
	}
	w.endWith(t, "it-seven", p)
	if code := p.end(t, 3*time.Minute); code != 7 {
		t.Errorf("exit %d, want the agent's 7:\n%s", code, p)
	}
	if got := p.stdout.String(); got != "out\nfrom stdin\n" {
		t.Errorf("stdout is the agent's alone: %q", got)
	}
	stderr := p.stderr.String()
	for _, want := range []string{"err\n", "pack: skipped, ", "load: skipped, ", "receipt of it-seven-"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not in:\n%s", want, stderr)
		}
	}
	for _, never := range []string{"push: ", "base: ", "layer: ", "pack: done", "load: done", "download"} {
		if strings.Contains(stderr, never) {
			t.Errorf("%q: it built something:\n%s", never, stderr)
		}
	}
	w.noneLeft(t, "it-seven")
}

// ^C at every stage: gone within 5 s, exit 130, nothing left.
func TestInterrupt(t *testing.T) {
	w := setup(t)
	theBottle(t)
	type moment struct {
		after string        // what has been said
		wait  time.Duration // and this much later
	}
	moments := []moment{
		{"", 30 * time.Millisecond}, // about when Go's signal handler is there; without it nothing has begun
		{"identity ", 0}, {"bundle: done", 0}, {"the agent is up", 0},
	}
	// Network and containers are being made here. An engine finishes what it was asked for
	// even if nobody waits for the answer any more.
	for wait := time.Duration(0); wait <= 140*time.Millisecond; wait += 20 * time.Millisecond {
		moments = append(moments, moment{"load: skipped", wait})
	}
	for wait := 200 * time.Millisecond; wait <= 500*time.Millisecond; wait += 100 * time.Millisecond {
		moments = append(moments, moment{"load: skipped", wait})
	}
	for _, m := range moments {
		t.Run(fmt.Sprintf("%s+%v", m.after, m.wait), func(t *testing.T) {
			p := w.launch(t, "it-slow")
			if m.after != "" {
				p.said(t, m.after)
			}
			time.Sleep(m.wait)
			begin := time.Now()
			if err := p.group(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			code := p.end(t, time.Minute)
			took := time.Since(begin)
			t.Logf("%v", took.Round(time.Millisecond))
			if code != 130 || took > teardown {
				t.Errorf("exit %d after %v, want 130 within %v:\n%s", code, took, teardown, p)
			}
			time.Sleep(300 * time.Millisecond) // for what appears late
			w.noneLeft(t, "it-slow")
		})
	}
}

type row struct {
	Identity string `json:"identity"`
	Agent    string `json:"agent"`
	State    string `json:"state"`
}

func (w *world) list(t *testing.T, agent string) []row {
	t.Helper()
	var rows, ours []row
	if err := json.Unmarshal([]byte(w.good(t, "list", "--format=json").Stdout), &rows); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Agent == agent {
			ours = append(ours, r)
		}
	}
	return ours
}

// kill -9 of bottle leaves only what list shows and stop removes.
func TestKilledBottle(t *testing.T) {
	w := setup(t)
	theBottle(t)
	p := w.launch(t, "it-slow")
	p.said(t, "the agent is up")
	id := rig.Identity(p.stderr.String())
	if got := w.list(t, "it-slow"); len(got) != 1 || got[0] != (row{id, "it-slow", "running"}) {
		t.Errorf("while it runs: %v", got)
	}
	if err := syscall.Kill(p.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.end(t, time.Minute)
	if got := w.list(t, "it-slow"); len(got) != 1 || got[0] != (row{id, "it-slow", "orphaned"}) {
		t.Errorf("after the kill: %v", got)
	}
	left, err := w.Left(t.Context(), w.engine, "it-slow-")
	if err != nil || len(left) == 0 {
		t.Fatalf("the control: nothing is left to be removed: %v", err)
	}
	for _, item := range left {
		if !strings.Contains(item, id) && !strings.HasPrefix(item, "container ") && !strings.HasPrefix(item, "network ") {
			t.Errorf("not of the bottle that list shows: %s", item)
		}
	}
	want := fmt.Sprintf("bottle: error: %s is not running (orphaned)\nbottle: hint:  bottle list\n", id)
	if got := w.bottle(t, "exec", id, "--", "true"); got.Code != 1 || got.Stderr != want {
		t.Errorf("exec: %s", got)
	}
	if got := w.good(t, "stop", id); got.Stdout != id+"\n" {
		t.Errorf("stop: %s", got)
	}
	w.noneLeft(t, "it-slow")
	if got := w.list(t, "it-slow"); len(got) != 0 {
		t.Errorf("after the stop: %v", got)
	}
	if got := w.bottle(t, "stop", id); got.Code != 1 || !strings.Contains(got.Stderr, "there is no bottle "+id) {
		t.Errorf("stop again: %s", got)
	}
}

// Two bottles of one agent: each has its own way out, and stopping one is not felt by
// the other.
func TestTwoBottles(t *testing.T) {
	l := theBottle(t)
	p := l.launch(t, sharedAgent)
	p.said(t, "the agent is up")
	second := rig.Identity(p.stderr.String())
	if want := fmt.Sprintf("start: warning: %s of the same agent is running; this one is %s", l.id, second); !strings.Contains(p.stderr.String(), want) {
		t.Errorf("%q is not in:\n%s", want, p.stderr.String())
	}
	if got := l.list(t, sharedAgent); len(got) != 2 {
		t.Errorf("the list: %v", got)
	}
	// The second's upstream is its own echo; the first's upstream is in another network.
	fetch := "curl -sS -o /dev/null -w '%{http_code}' "
	if got := l.good(t, "exec", second, "--", "sh", "-c", fetch+"https://echo.bottle.test/").Stdout; got != "200" {
		t.Errorf("the second: %s", got)
	}
	if got := l.bottle(t, "exec", second, "--", "sh", "-c", fetch+"http://plain.bottle.test/bytes/1"); got.Stdout != "502" {
		t.Errorf("the first's upstream from the second: %s", got)
	}
	begin := time.Now()
	if got := l.good(t, "stop", second); got.Stdout != second+"\n" {
		t.Errorf("stop: %s", got)
	}
	t.Logf("stopped in %v", time.Since(begin).Round(time.Millisecond))
	if code := p.end(t, time.Minute); code != 130 {
		t.Errorf("the stopped one: exit %d:\n%s", code, p)
	}
	left, err := l.Left(t.Context(), l.engine, second)
	if err != nil || len(left) != 0 {
		t.Errorf("left of the second: %v, %v", left, err)
	}
	if got := l.sh(t, fetch+"https://echo.bottle.test/"); got != "200" {
		t.Errorf("the first: %s", got)
	}
}

// A bottle whose files are damaged hides no other and can be stopped.
func TestListWithABrokenBottle(t *testing.T) {
	l := theBottle(t)
	dir := filepath.Join(l.StateDir(), "it-broken-00000")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "status.json"), []byte(`{"identity": "it-bro`), 0o600); err != nil {
		t.Fatal(err)
	}
	got := l.bottle(t, "list")
	if got.Code != 1 || !strings.Contains(got.Stdout, l.id) || !strings.Contains(got.Stdout, "it-broken-00000") || !strings.Contains(got.Stderr, "it-broken-00000") {
		t.Errorf("the list: %s", got)
	}
	if got := l.good(t, "stop", "it-broken-00000"); got.Stdout != "it-broken-00000\n" {
		t.Errorf("stop: %s", got)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}
