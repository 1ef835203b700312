//go:build integration

package crash

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// effects are what happens from the beginning to the end of a run that nobody kills.
func (w *world) effects(t *testing.T, code int, args ...string) []string {
	t.Helper()
	result, effects := w.crash(t, "", args...)
	if result.Code != code {
		t.Fatalf("exit %d, want %d: %s", result.Code, code, result)
	}
	// The control: what a launch is known to do is among them.
	for _, want := range []string{"the instance #1", "creating the machine #1", "creating network ID #1", "undoing the bundle #1"} {
		if args[0] == "start" && !slices.Contains(effects, want) {
			t.Errorf("%q is not among the effects:\n%s", want, strings.Join(effects, "\n"))
		}
	}
	t.Logf("%d effects", len(effects))
	return effects
}

// from are the effects after and with one.
func from(t *testing.T, effects []string, first string) []string {
	t.Helper()
	at := slices.Index(effects, first)
	if at < 0 {
		t.Fatalf("%q is not among the effects:\n%s", first, strings.Join(effects, "\n"))
	}
	return effects[at:]
}

// check looks at what a killed start left: list knows it, cleanup takes it away, and
// nothing else.
func (w *world) check(t *testing.T, at string) {
	t.Helper()
	rows := w.list(t)
	switch {
	case at == "removing the instance #1": // it was the last
		if len(rows) != 0 {
			t.Errorf("list: %v", rows)
		}
	case at == "the phase stopped #1":
		if len(rows) != 1 || rows[0].State != "stopped" || rows[0].Exit == nil || *rows[0].Exit != 7 {
			t.Errorf("list: %v, want one that is stopped with exit code 7", rows)
		}
	case len(rows) != 1 || rows[0].State != "orphaned":
		t.Errorf("list: %v, want one orphan", rows)
	}
	w.cleanup(t, "--stopped")
	for try := 0; len(w.left(t)) > 0 && try < 2; try++ {
		// The engine may carry out what a process asked for that is dead by now.
		w.cleanup(t, "--stopped")
	}
	if len(w.left(t)) > 0 {
		t.Errorf("left after the cleanup:\n%s", strings.Join(w.left(t), "\n"))
	}
	if rows := w.list(t); len(rows) > 0 {
		t.Errorf("list after the cleanup: %v", rows)
	}
	w.decoysLive(t)
}

// TestKilledAfterEveryEffect kills a bottle after everything that a launch and its end do.
func TestKilledAfterEveryEffect(t *testing.T) {
	w := newWorld(t, true)
	effects := w.effects(t, 0, "start", "cr-good", "--yes")
	if left := w.left(t); len(left) > 0 {
		t.Fatalf("the control: a whole run leaves %v", left)
	}
	for _, at := range effects {
		t.Run(at, func(t *testing.T) {
			w.crash(t, at, "start", "cr-good", "--yes")
			w.check(t, at)
		})
	}
	w.effects(t, 0, "start", "cr-good", "--yes")
}

// thinned leaves out two of three effects that TestKilledAfterEveryEffect has all of, too;
// BOTTLE_SLOW takes every one.
func thinned(effects []string) []string {
	if os.Getenv("BOTTLE_SLOW") != "" {
		return effects
	}
	var some []string
	for i := 0; i < len(effects); i += 3 {
		some = append(some, effects[i])
	}
	return some
}

// TestKilledWhileItIsKept does so with the end of a bottle that is kept.
func TestKilledWhileItIsKept(t *testing.T) {
	w := newWorld(t, true)
	effects := from(t, w.effects(t, 7, "start", "cr-bad", "--yes"), "the phase stopping #1")
	w.check(t, "the phase stopped #1")
	for _, at := range thinned(effects) {
		t.Run(at, func(t *testing.T) {
			w.crash(t, at, "start", "cr-bad", "--yes")
			w.check(t, at)
		})
	}
}

// TestKilledResume kills the resume of one and the same bottle again and again: each finds
// what the last one left.
func TestKilledResume(t *testing.T) {
	w := newWorld(t, true)
	w.effects(t, 7, "start", "cr-bad", "--yes")
	id := w.list(t)[0].Identity
	for _, resume := range [][]string{{"resume", "--yes", id}, {"resume", "--yes", "--fresh", id}} {
		effects := w.effects(t, 7, resume...)
		// How it ends is the same as after a start.
		for _, at := range thinned(effects[:slices.Index(effects, "the phase stopping #1")+1]) {
			t.Run(strings.Join(resume[2:], " ")+" "+at, func(t *testing.T) {
				w.crash(t, at, resume...)
				if rows := w.list(t); len(rows) != 1 || rows[0].Identity != id || rows[0].State != "orphaned" {
					t.Errorf("list: %v, want an orphan", rows)
				}
				w.decoysLive(t)
			})
		}
	}
	if code, _ := w.crash(t, "", "resume", "--yes", id); code.Code != 7 {
		t.Errorf("the resume after all of them: %s", code)
	}
	w.check(t, "the phase stopped #1")
}
