// Package journal is the log of a daemon in the bundle: JSON lines, of which what an agent
// can cause at will is held back beyond a rate.
//
// Invariants: lines are written whole and one at a time; a line that is not limited is
// always written; a line that is held back is counted, and the count comes before the next
// line that is written, or with [Journal.Close].
package journal

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The rate of each bucket.
const (
	burst  = 50
	perSec = 10
)

// Line is one line of a journal, encoded as JSON.
type Line[L any] interface {
	// At returns the line with its time, which is UTC.
	At(now time.Time) L
	// Bucket names the bucket that the line is taken from. Lines that are not limited are
	// taken from none. A flood in one bucket hides nothing of another.
	Bucket() (name string, limited bool)
	// Suppressed returns a line that says how many lines of a bucket were held back. It is
	// called on the zero line.
	Suppressed(bucket string, count int) L
}

// Journal writes lines. Those beyond a rate of 10 a second, after 50 at once, are counted
// instead of written, so that an agent cannot push the others out of a bounded log. Make it
// with [New]. It may be used concurrently.
type Journal[L Line[L]] struct {
	mu      sync.Mutex
	out     io.Writer
	now     func() time.Time
	buckets []*bucket // by name, so that their counts are written in one order
}

// New makes a journal that writes to out, with the time of now.
func New[L Line[L]](out io.Writer, now func() time.Time) *Journal[L] {
	return &Journal[L]{out: out, now: now}
}

// Write writes a line, or counts it.
func (j *Journal[L]) Write(line L) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now().UTC()
	if name, limited := line.Bucket(); limited && !j.bucket(name).admit(now) {
		return
	}
	j.flush(now)
	j.put(line.At(now))
}

// Close writes the counts that are still owed.
func (j *Journal[L]) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flush(j.now().UTC())
}

func (j *Journal[L]) bucket(name string) *bucket {
	i, found := slices.BinarySearchFunc(j.buckets, name, func(b *bucket, name string) int { return strings.Compare(b.name, name) })
	if !found {
		j.buckets = slices.Insert(j.buckets, i, &bucket{name: name, limit: rate.NewLimiter(perSec, burst)})
	}
	return j.buckets[i]
}

func (j *Journal[L]) flush(now time.Time) {
	var zero L
	for _, b := range j.buckets {
		if b.suppressed > 0 {
			j.put(zero.Suppressed(b.name, b.suppressed).At(now))
			b.suppressed = 0
		}
	}
}

// put drops what cannot be written: a reader that went away must not stop a daemon from
// refusing.
func (j *Journal[L]) put(line L) {
	data, err := json.Marshal(line)
	if err != nil {
		return
	}
	_, _ = j.out.Write(append(data, '\n'))
}

// bucket holds back one kind of line.
type bucket struct {
	name       string
	limit      *rate.Limiter
	suppressed int
}

// admit takes a token, or counts the line.
func (b *bucket) admit(now time.Time) bool {
	if b.limit.AllowN(now, 1) {
		return true
	}
	b.suppressed++
	return false
}
