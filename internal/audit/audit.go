// Package audit writes and checks the audit log of a bottle: what the daemons of its
// bundle, the launch and the host did, in a file that shows when somebody touched it.
//
// Invariants: only the host process writes; the source of a record is the pipe it came
// on, and its time is when the host received it. Every line carries the hash of the line
// before it. After every 64 records, or a second, a head signs the chain so far with a key
// that is no part of the bottle. No secret that the log was told to hide gets into it, and
// nothing is dropped silently: who writes faster than the disk waits, denials beyond a
// rate are counted, and a log that can take no more fails, so that its bottle can be stopped.
package audit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bottle.internal/internal/secret"
)

// Source says on which pipe a record came.
type Source string

// The sources. The first six are programs of the bundle; their lines are told apart by the
// prefix that init, and nobody else, writes in front of them.
const (
	Firewall  Source = "firewall"
	Egress    Source = "egress"
	GitGate   Source = "git-gate"
	Supervise Source = "supervise"
	Echo      Source = "echo"
	Init      Source = "init"
	Launch    Source = "launch"
	Host      Source = "host"

	self Source = "audit" // the log's own records
)

func bundleSources() []Source { return []Source{Firewall, Egress, GitGate, Supervise, Echo, Init} }

// Sources lists what a line of a log can come from.
func Sources() []Source { return append(bundleSources(), Launch, Host, self) }

const (
	// Batch is the number of records after which they are signed.
	Batch = 64
	// BatchTime is how long a record waits for its signature at most.
	BatchTime = time.Second
	// MaxSize is the size of a file that takes no more records, in bytes.
	MaxSize = 256 << 20

	queueSize = 256
)

// ErrFull means that the log has reached MaxSize: its bottle must be stopped.
var ErrFull = errors.New("audit full")

// ErrClosed means that the log was closed before.
var ErrClosed = errors.New("the audit log is closed")

var eventName = regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,63}$`)

// Record is something that happened.
type Record struct {
	Source Source
	Event  string // lower case letters, digits, "_", "." and "-", at most 64
	Fields any    // encodes to a JSON object of at most 32 KiB; nil is an empty one
}

// Head names the end of a log up to and including a signature.
type Head struct {
	Lines uint64 `json:"lines"`
	Hash  string `json:"hash"`
}

// entry is a record on its way to the writer, or a wish to have the others signed.
type entry struct {
	body
	flushed chan<- error
}

// Log is an audit log that is being written. Its owner calls Close.
type Log struct {
	now   func() time.Time
	queue chan entry
	hider atomic.Pointer[hider]
	head  atomic.Pointer[Head]

	mu     sync.RWMutex // held for reading while an entry is put into the queue
	closed bool
	once   sync.Once

	failed chan struct{} // closed when err is set
	err    error
	ended  chan struct{}
	close  error // valid after ended
}

// Open makes the log at path, mode 0600, or continues it. What is there is verified
// first: a log that was touched is a [*BrokenError]. Half a line at its end, which a
// killed process leaves, is cut off, and the first new record says so. Now is [time.Now]
// outside tests.
func Open(path string, key Key, now func() time.Time) (*Log, error) {
	chain, err := openChain(path, key, MaxSize)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	log, err := start(chain, now)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", errors.Join(err, chain.file.Close()))
	}
	return log, nil
}

func start(chain *chain, now func() time.Time) (*Log, error) {
	if err := chain.begin(now()); err != nil {
		return nil, err
	}
	l := &Log{now: now, queue: make(chan entry, queueSize), failed: make(chan struct{}), ended: make(chan struct{})}
	l.hider.Store(newHider(nil))
	l.head.Store(&chain.head)
	w := &writer{chain: chain, buckets: map[Source]*bucket{}, log: l}
	w.publish()
	go w.run()
	return l, nil
}

// Hide adds values that must never be in the log. In every record received from now on
// they are replaced, as they are and in their base64, hex, URL and JSON forms. Values
// below four bytes cannot be told from other text and are not hidden. What is hidden already
// costs nothing.
func (l *Log) Hide(values ...secret.Value) {
	for {
		old := l.hider.Load()
		all := slices.Clone(old.values)
		for _, value := range values {
			if !slices.ContainsFunc(all, func(known secret.Value) bool { return known.Reveal() == value.Reveal() }) {
				all = append(all, value)
			}
		}
		if len(all) == len(old.values) || l.hider.CompareAndSwap(old, newHider(all)) {
			return
		}
	}
}

// Append hands a record over. It waits while the queue is full. A record that it took is
// in the file soon, and signed within BatchTime; an error of the file reaches the callers
// after it, and Done.
func (l *Log) Append(ctx context.Context, r Record) error {
	if err := l.append(ctx, r); err != nil {
		return fmt.Errorf("writing to the audit log: %w", err)
	}
	return nil
}

func (l *Log) append(ctx context.Context, r Record) error {
	if !slices.Contains(Sources(), r.Source) || r.Source == self {
		return fmt.Errorf("there is no source %q", r.Source)
	}
	if !eventName.MatchString(r.Event) {
		return fmt.Errorf("%.80q is no name of an event", r.Event)
	}
	object, err := toObject(r.Fields)
	if err != nil {
		return err
	}
	hider := l.hider.Load()
	return l.put(ctx, entry{body: body{
		Time: l.now(), Source: r.Source, Event: hider.text(r.Event), Fields: encodeFields(hider.object(object)),
	}})
}

// Flush waits until everything that was appended before is signed and on the disk.
func (l *Log) Flush(ctx context.Context) error {
	flushed := make(chan error, 1)
	err := l.put(ctx, entry{body: body{Time: l.now()}, flushed: flushed})
	if err == nil {
		select {
		case err = <-flushed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("flushing the audit log: %w", err)
	}
	return nil
}

func (l *Log) put(ctx context.Context, e entry) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := l.Err(); err != nil {
		return err
	}
	if l.closed {
		return ErrClosed
	}
	select {
	case l.queue <- e:
		return nil
	case <-l.failed:
		return l.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Done is closed when the log can take no more records; Err says why.
func (l *Log) Done() <-chan struct{} { return l.failed }

// Err is why the log failed: ErrFull, an error of the disk, or nil if it did not.
func (l *Log) Err() error {
	select {
	case <-l.failed:
		return l.err
	default:
		return nil
	}
}

// Head is the newest signature. After Close it is the end of the file: with it, a tail
// that somebody cuts off later is missed.
func (l *Log) Head() Head { return *l.head.Load() }

// Close writes what is queued, signs it, and waits until it is on the disk. It returns
// what the log failed with, and may be called more than once.
func (l *Log) Close() error {
	l.once.Do(func() {
		l.mu.Lock()
		l.closed = true
		close(l.queue)
		l.mu.Unlock()
	})
	<-l.ended
	if l.close != nil {
		return fmt.Errorf("closing the audit log: %w", l.close)
	}
	return nil
}
