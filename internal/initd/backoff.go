//go:build linux

package initd

import "time"

// backoff decides how long a dead daemon rests.
type backoff struct {
	timing Timing
	pause  time.Duration
	deaths []time.Time // within the window
	gaveUp bool
}

// next returns the pause before the next start, and whether this death is the one that
// deserves a give-up event.
func (b *backoff) next(started, died time.Time) (pause time.Duration, giveUp bool) {
	if died.Sub(started) >= b.timing.Window {
		b.pause, b.deaths, b.gaveUp = 0, nil, false
	}
	b.deaths = append(b.deaths, died)
	for died.Sub(b.deaths[0]) >= b.timing.Window {
		b.deaths = b.deaths[1:]
	}
	b.pause = min(max(2*b.pause, b.timing.BackoffMin), b.timing.BackoffMax)
	if !b.gaveUp && len(b.deaths) >= b.timing.GiveUp {
		b.gaveUp, giveUp = true, true
	}
	return b.pause, giveUp
}
