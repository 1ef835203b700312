package proposal

import (
	"time"

	"bottle.internal/internal/ask"
)

const (
	refusalBurst  = 20
	refusalPerSec = 1
)

// refusals bounds how many refusals reach the audit log, so that an agent cannot fill it.
type refusals struct {
	tokens     float64
	refilled   time.Time
	suppressed int
}

// refuse records that a question was refused, and returns the reason.
func (q *Queue) refuse(tool ask.Tool, err error) error {
	q.mu.Lock()
	admitted, suppressed := q.refused.admit(q.config.Now())
	q.mu.Unlock()
	if admitted {
		record := map[string]any{"kind": string(tool), "problem": err.Error()}
		if suppressed > 0 {
			record["suppressed"] = suppressed // refusals before this one
		}
		q.config.Audit(EventRefused, record)
	}
	return err
}

func (r *refusals) admit(now time.Time) (admitted bool, suppressed int) {
	if r.refilled.IsZero() {
		r.tokens = refusalBurst
	}
	// A clock that went back gives nothing.
	r.tokens = min(refusalBurst, r.tokens+max(0, now.Sub(r.refilled).Seconds())*refusalPerSec)
	r.refilled = now
	if r.tokens < 1 {
		r.suppressed++
		return false, 0
	}
	r.tokens--
	suppressed, r.suppressed = r.suppressed, 0
	return true, suppressed
}
