package audit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// Denials are what a guest can cause without end and without an effect. Each source may
// have a burst of them and then one a second; beyond that they are counted.
const (
	denyBurst  = 100
	denyPerSec = 1
)

// isDenial knows the firewall's own word and pipelock's.
func isDenial(b body) bool {
	return (b.Event == "deny" || b.Event == "blocked") && slices.Contains(bundleSources(), b.Source)
}

type bucket struct {
	limit      *rate.Limiter
	suppressed int
}

// admit reports whether one more denial may be written, and counts it if not.
func (b *bucket) admit(now time.Time) bool {
	if b.limit.AllowN(now, 1) {
		return true
	}
	b.suppressed++
	return false
}

// writer is the goroutine that owns the file.
type writer struct {
	chain   *chain
	buckets map[Source]*bucket
	log     *Log
	timer   *time.Timer // runs while there is something to sign or to count
}

// run writes until the queue is closed. After a failure it takes entries and drops them:
// nobody may wait for a writer that is gone, and every caller learns of the error.
func (w *writer) run() {
	defer close(w.log.ended)
	w.timer = time.NewTimer(BatchTime)
	w.timer.Stop()
	defer w.timer.Stop()
	err := w.serve()
	if err != nil {
		w.publish() // a full log has a head for its last records
		w.log.err = err
		close(w.log.failed)
		for e := range w.log.queue {
			if e.flushed != nil {
				e.flushed <- err
			}
		}
	}
	w.log.close = errors.Join(err, w.chain.file.Close())
}

func (w *writer) serve() error {
	for {
		select {
		case e, ok := <-w.log.queue:
			if !ok {
				return w.settle(w.log.now())
			}
			if err := w.take(e); err != nil {
				return err
			}
		case <-w.timer.C:
			if err := w.settle(w.log.now()); err != nil {
				return err
			}
		}
	}
}

func (w *writer) take(e entry) error {
	if e.flushed != nil {
		err := w.settle(e.Time)
		e.flushed <- err
		return err
	}
	idle := w.chain.unsigned == 0 && !w.owes()
	if err := w.record(e.body); err != nil {
		return err
	}
	if w.chain.unsigned >= Batch {
		return w.settle(e.Time)
	}
	if idle {
		w.timer.Reset(BatchTime)
	}
	return nil
}

func (w *writer) record(b body) error {
	if isDenial(b) {
		limit, ok := w.buckets[b.Source]
		if !ok {
			limit = &bucket{limit: rate.NewLimiter(denyPerSec, denyBurst)}
			w.buckets[b.Source] = limit
		}
		if !limit.admit(b.Time) {
			return nil
		}
	}
	if err := w.count(b.Source, b.Time); err != nil {
		return err
	}
	return w.chain.add(b)
}

func (w *writer) owes() bool {
	for _, limit := range w.buckets {
		if limit.suppressed > 0 {
			return true
		}
	}
	return false
}

// count writes how many denials of a source were left out.
func (w *writer) count(source Source, at time.Time) error {
	limit := w.buckets[source]
	if limit == nil || limit.suppressed == 0 {
		return nil
	}
	fields := fmt.Appendf(nil, `{"count":%d,"reason":"denials came too fast to write each"}`, limit.suppressed)
	if err := w.chain.add(body{Time: at, Source: source, Event: eventSuppressed, Fields: fields}); err != nil {
		return err
	}
	limit.suppressed = 0
	return nil
}

// settle writes the counts that are owed and signs everything.
func (w *writer) settle(at time.Time) error {
	w.timer.Stop()
	for _, source := range slices.Sorted(maps.Keys(w.buckets)) {
		if err := w.count(source, at); err != nil {
			return err
		}
	}
	err := w.chain.seal(at)
	w.publish()
	return err
}

func (w *writer) publish() {
	head := w.chain.head
	w.log.head.Store(&head)
}
