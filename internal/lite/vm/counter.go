package vm

import (
	"context"
	"time"

	"github.com/klauspost/cpuid/v2"
)

// counterSpan is the least time between two readings of a counter. Each is right within a
// microsecond, and the guest's kernel refines what is right within a per cent.
const counterSpan = 5 * time.Millisecond

// Counter is a reading of the processor's time-stamp counter, and when it was made.
type Counter struct {
	ticks uint64
	at    time.Time
}

// ReadCounter takes the best of some readings: this process may be stopped in any of them.
func ReadCounter() Counter {
	var best Counter
	shortest := time.Duration(-1)
	for range 10 {
		begin := time.Now()
		ticks := cpuid.CPU.RTCounter()
		if took := time.Since(begin); shortest < 0 || took < shortest {
			best, shortest = Counter{ticks, begin.Add(took / 2)}, took
		}
	}
	return best
}

// KHz is how fast the counter has run since c was read; 0 where there is no such counter.
func (c Counter) KHz(ctx context.Context) int {
	if c.ticks == 0 {
		return 0
	}
	select {
	case <-ctx.Done():
		return 0
	case <-time.After(counterSpan - time.Since(c.at)):
	}
	now := ReadCounter()
	return int(float64(now.ticks-c.ticks) / now.at.Sub(c.at).Seconds() / 1000)
}
