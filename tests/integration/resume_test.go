//go:build integration

package integration

import (
	"context"
	"strings"
	"testing"

	"bottle.internal/tests/integration/rig"
)

// A bottle whose agent failed goes on with its disk, and with certificates of its own.
// Rule 12 again: no value is on a command line meanwhile.
func TestResume(t *testing.T) {
	w := setup(t)
	theBottle(t)
	t.Cleanup(func() { _ = w.Reap(context.WithoutCancel(t.Context()), w.engine, "it-kept-") })
	first := w.bottle(t, "start", "it-kept", "--yes")
	id := rig.Identity(first.Stderr)
	if hint := "bottle: hint:  bottle resume " + id + "\n"; first.Code != 7 || strings.Count(first.Stderr, "hint") != 1 || !strings.HasSuffix(first.Stderr, hint) {
		t.Fatalf("start: %s", first)
	}
	if got := w.good(t, "list").Stdout; !strings.Contains(got, "stopped (exited 7)") {
		t.Errorf("list: %s", got)
	}
	var cmdlines sampler
	cmdlines.start()
	second := w.bottle(t, "resume", "--yes", id)
	cmdlines.stop()
	if second.Code != 7 {
		t.Fatalf("resume: %s", second)
	}
	before, after := strings.Fields(first.Stdout), strings.Fields(second.Stdout)
	if len(before) != 4 || len(after) != 4 || before[0] != "1" || after[0] != "2" {
		t.Fatalf("the agent saw %q, then %q: the disk is another", before, after)
	}
	if before[1] != after[1] || before[2] == after[2] {
		t.Errorf("the agent trusts %q, then %q: want as many, and others", before[1:], after[1:])
	}
	for _, control := range []string{"resume --yes " + id, "machine start", "machine exec"} {
		if len(cmdlines.with(control)) == 0 {
			t.Errorf("the control: no command line with %q in %d looks", control, cmdlines.rounds)
		}
	}
	for _, value := range []string{secretValue, "zq7-it-literal-77"} {
		for _, line := range cmdlines.with(value) {
			t.Errorf("a value is on a command line: %s", line)
		}
	}
	if got := w.good(t, "audit", "verify", id).Stdout; !strings.Contains(got, ": ok, ") {
		t.Errorf("the audit log: %s", got)
	}
	w.good(t, "stop", id)
	w.noneLeft(t, "it-kept")
}
