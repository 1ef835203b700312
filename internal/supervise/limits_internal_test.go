package supervise

import (
	"testing"
	"time"
)

// SECURITY-RULES 26: what one guest can hold open here.
func TestLimits(t *testing.T) {
	t.Parallel()
	if c := (Config{}).withDefaults(); c.Sessions != 8 || c.Idle != 15*time.Minute || maxBody != 1<<20 {
		t.Errorf("%d sessions, %s idle, %d bytes", c.Sessions, c.Idle, maxBody)
	}
}
