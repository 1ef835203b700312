package link

import (
	"testing"
	"time"
)

// SECURITY-RULES 26: what one guest can hold open on the host.
func TestLimits(t *testing.T) {
	t.Parallel()
	if MaxRelayConns != 256 || HalfOpenTimeout != 10*time.Second {
		t.Errorf("%d connections, %s", MaxRelayConns, HalfOpenTimeout)
	}
}
