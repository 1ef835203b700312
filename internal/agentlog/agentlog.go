// Package agentlog keeps what an agent prints, as lines of text with their time.
//
// Invariants: a line is JSON, so nothing that the agent prints can pose as another line or
// another time; no control sequence is kept; the file is bounded, and says so at its end;
// a log that cannot be written never disturbs the agent.
package agentlog

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"bottle.internal/internal/termsafe"
)

// MaxSize bounds a log, in bytes.
const MaxSize = 64 << 20

// full is the last line of a log that has reached its size.
const full = "bottle: this log is full: what follows was not kept"

// Line is one line of the log.
type Line struct {
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// Log writes lines. Its streams may be used side by side.
type Log struct {
	mu      sync.Mutex
	out     io.Writer
	left    int64 // negative: nothing more is written
	now     func() time.Time
	pending []byte
}

// New continues a log that has size bytes already.
func New(out io.Writer, size int64, now func() time.Time) *Log {
	return &Log{out: out, left: max(MaxSize-size, 0), now: now}
}

func (l *Log) line(text string) {
	line, err := json.Marshal(Line{Time: l.now().UTC(), Text: text})
	if err != nil || l.left < 0 {
		return // text is valid UTF-8: it always encodes
	}
	line = append(line, '\n')
	if l.left -= int64(len(line)); l.left < 0 && text != full {
		l.left = int64(len(line)) + 1024
		l.line(full)
		l.left = -1
		return
	}
	l.pending = append(l.pending, line...)
	if len(l.pending) > 1<<20 {
		l.flush()
	}
}

func (l *Log) flush() {
	if len(l.pending) == 0 {
		return
	}
	if _, err := l.out.Write(l.pending); err != nil {
		l.left = -1
	}
	l.pending = l.pending[:0]
}

// Stream is one of the agent's outputs on its way to somebody.
type Stream struct {
	log  *Log
	next io.Writer
	text *termsafe.Text
}

// Stream passes what is written on to next, and notes it. One goroutine writes.
func (l *Log) Stream(next io.Writer) *Stream {
	return &Stream{log: l, next: next, text: termsafe.NewText(l.line)}
}

// Write implements [io.Writer]. Its error is that of the writer behind it.
func (s *Stream) Write(p []byte) (int, error) {
	s.log.mu.Lock()
	_, _ = s.text.Write(p)
	s.log.flush()
	s.log.mu.Unlock()
	return s.next.Write(p)
}

// Close notes a last line without an end. The writer behind stays open.
func (s *Stream) Close() error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	err := s.text.Close()
	s.log.flush()
	return err
}
