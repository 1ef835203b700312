// Package eventually waits in tests for what other goroutines, processes and machines do in
// their own time.
//
// Invariants: what already holds costs no time; a wait is a bound for what went wrong, never
// a measure of what is right, so it is long enough for a machine that does much else.
package eventually

import (
	"testing"
	"time"
)

// Patience is for what takes no time on an idle machine.
const Patience = time.Minute

const pause = 5 * time.Millisecond

// True fails the test if the condition does not come to hold.
func True(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Fine(t, Patience, func() string {
		if holds() {
			return ""
		}
		return what
	})
}

// Fine asks until there is no problem, and returns how long that took. Where one is left at
// the end, the test fails with it.
func Fine(t testing.TB, within time.Duration, problem func() string) time.Duration {
	t.Helper()
	begin := time.Now()
	for tick := time.NewTicker(pause); ; <-tick.C {
		left := problem()
		took := time.Since(begin)
		if left == "" {
			tick.Stop()
			return took
		}
		if took > within {
			tick.Stop()
			t.Fatalf("not within %v: %s", within, left)
		}
	}
}
