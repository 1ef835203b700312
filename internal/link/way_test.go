package link

import (
	"testing"
	"time"
)

// When every place is taken, the oldest handshake makes way, but not before an honest client
// would be done.
func TestOldestHandshakeMakesWay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		age  time.Duration
		want bool
	}{{"a young one", 0, false}, {"an old one", time.Minute, true}} {
		_, oldest := tcpPair(t)
		_, next := tcpPair(t)
		g := NewGate()
		for range MaxPending {
			g.pending = append(g.pending, pending{oldest, time.Now().Add(-test.age)})
		}
		if got := g.enter(next); got != test.want || len(g.pending) != MaxPending {
			t.Errorf("%s makes way: %v, and %d are pending", test.name, got, len(g.pending))
		}
		if err := oldest.SetDeadline(time.Now()); (err != nil) != test.want {
			t.Errorf("%s: it is closed: %v", test.name, err)
		}
	}
}
