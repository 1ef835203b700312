package imagebuild

import (
	"testing"
	"time"
)

// Two changes within one step of the clock have one stamp.
func TestSettled(t *testing.T) {
	t.Parallel()
	read := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for age, want := range map[time.Duration]bool{
		-time.Hour: false, 0: false, settleTime: false, settleTime + 1: true, time.Hour: true,
	} {
		if got := settled(read.Add(-age), read); got != want {
			t.Errorf("a file that changed %s before it was read: %t", age, got)
		}
	}
}
