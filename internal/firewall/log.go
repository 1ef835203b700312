package firewall

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// Events of the log. An allow is written before the first byte goes out, so that a
// kill cannot lose it; its close follows with the counts.
const (
	eventReady      = "ready"
	eventReload     = "reload"
	eventAllow      = "allow"
	eventDeny       = "deny"
	eventFail       = "fail" // allowed, but there is no way to the upstream
	eventClose      = "close"
	eventSuppressed = "suppressed"
)

// line is one JSON line. It has no place for headers, queries or bodies.
type line struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"`
	ID      uint64    `json:"id,omitempty"`
	Method  string    `json:"method,omitempty"`
	Host    string    `json:"host,omitempty"`
	Port    uint16    `json:"port,omitempty"`
	Path    string    `json:"path,omitempty"`
	Address string    `json:"address,omitempty"`
	Rule    Rule      `json:"rule,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Status  int       `json:"status,omitempty"`
	Up      *int64    `json:"bytes_up,omitempty"`
	Down    *int64    `json:"bytes_down,omitempty"`
	Millis  *float64  `json:"duration_ms,omitempty"`
	Count   int       `json:"count,omitempty"`
	Listen  string    `json:"listen,omitempty"`
	Routes  *int      `json:"routes,omitempty"`
	Problem string    `json:"problem,omitempty"`
}

const (
	denyBurst  = 50
	denyPerSec = 10
)

// journal writes lines, one at a time. Denials beyond a rate are counted instead of
// written, so that a guest cannot push the allows out of a bounded log.
type journal struct {
	mu         sync.Mutex
	out        io.Writer
	now        func() time.Time
	tokens     float64
	refilled   time.Time
	suppressed int
}

func newJournal(out io.Writer, now func() time.Time) *journal {
	return &journal{out: out, now: now, tokens: denyBurst, refilled: now()}
}

func (j *journal) write(l line) {
	j.mu.Lock()
	defer j.mu.Unlock()
	l.Time = j.now().UTC()
	if l.Event == eventDeny && !j.admit(l.Time) {
		j.suppressed++
		return
	}
	j.flush(l.Time)
	j.put(l)
}

// close writes the count that is still owed.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flush(j.now().UTC())
}

func (j *journal) flush(now time.Time) {
	if j.suppressed > 0 {
		j.put(line{Time: now, Event: eventSuppressed, Count: j.suppressed, Reason: "denials came too fast to write each"})
		j.suppressed = 0
	}
}

func (j *journal) admit(now time.Time) bool {
	j.tokens = min(denyBurst, j.tokens+now.Sub(j.refilled).Seconds()*denyPerSec)
	j.refilled = now
	if j.tokens < 1 {
		return false
	}
	j.tokens--
	return true
}

// put drops what cannot be written: a reader that went away must not stop the firewall
// from refusing.
func (j *journal) put(l line) {
	data, err := json.Marshal(l)
	if err != nil {
		return
	}
	_, _ = j.out.Write(append(data, '\n'))
}
