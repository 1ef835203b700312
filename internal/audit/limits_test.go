package audit

import "testing"

// SECURITY-RULES 26: a log that takes this much ends its bottle.
func TestMaxSize(t *testing.T) {
	t.Parallel()
	if MaxSize != 256<<20 {
		t.Errorf("%d bytes", MaxSize)
	}
}
