//go:build integration && linux

package escape

import (
	"os"
	"testing"
	"time"

	"bottle.internal/tests/integration/rig"
)

// table is what the run has found.
var table ledger

func TestMain(m *testing.M) {
	rig.UseTestcontainers()
	os.Exit(rig.Main(m, "bottle-escape", table.publish))
}

// The whole suite, part by part: the bottles live as long as it does, and the parts that
// could harm one come last.
func TestEscape(t *testing.T) {
	s := newScene(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *scene)
	}{
		{"machine", machine},
		{"direct", direct},
		{"spellings", spellings},
		{"tricks", tricks},
		{"mismatch", mismatch},
		{"dns", dns},
		{"misplaced", misplaced},
		{"git", gitTricks},
		{"listeners", listeners},
		{"clock", clock},
		{"garbage", garbage},
		{"flood", flood},
		{"killed", killed},
		{"bombs", bombs},
		{"channel", channel},
		{"canary", canaries},
	} {
		t.Run(part.name, func(t *testing.T) {
			begin := time.Now()
			part.run(t, s)
			t.Logf("%v", time.Since(begin).Round(100*time.Millisecond))
		})
	}
}
