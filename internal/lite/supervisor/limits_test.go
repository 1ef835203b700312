//go:build linux

package supervisor

import (
	"testing"

	"bottle.internal/internal/lite/wire"
)

// SECURITY-RULES 26: what one guest can write to the host's disk through its console, and
// hold open of its sockets.
func TestLimits(t *testing.T) {
	t.Parallel()
	if ringSize != 4<<20 || wire.MaxStreams != 512 {
		t.Errorf("%d bytes of console, %d streams", ringSize, wire.MaxStreams)
	}
}
