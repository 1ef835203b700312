package audit

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
)

// maxStreamLine bounds a line of a stream; init breaks longer ones itself.
const maxStreamLine = 32 << 10

// Events of lines that do not name one.
const (
	eventText = "text" // not JSON
	eventLine = "line" // JSON without the name of an event
)

// splitter turns the log of a bundle into records.
type splitter struct {
	log  *Log
	mu   sync.Mutex
	rest []byte // of a line without its end
	long bool   // rest is the beginning of a line that is too long
}

// Bundle returns a writer for the log of a bundle's container, whose lines look like
// `firewall| {"event":"allow",...}`. Each stream needs a writer of its own, and a Close for
// a last line without an end. Write waits while the queue is full and fails with the log.
func (l *Log) Bundle() io.WriteCloser { return &splitter{log: l} }

// Write implements [io.Writer].
func (s *splitter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for left := p; len(left) > 0; {
		line, after, ended := bytes.Cut(left, []byte{'\n'})
		if room := maxStreamLine - len(s.rest); len(line) > room {
			line, s.long = line[:room], true // the rest of it is dropped, and that is said
		}
		s.rest = append(s.rest, line...)
		if ended {
			if err := s.flush(); err != nil {
				return len(p) - len(after), err
			}
		}
		left = after
	}
	return len(p), nil
}

// Close implements [io.Closer]; the log stays open.
func (s *splitter) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flush()
}

func (s *splitter) flush() error {
	line, long := s.rest, s.long
	s.rest, s.long = s.rest[:0], false
	if len(line) == 0 {
		return nil
	}
	// The log's own end is what ends a wait: the writer lives as long as the log.
	return s.log.put(context.Background(), entry{body: s.log.parse(line, long)})
}

// parse tells the source by init's prefix. A line that init did not write, such as the
// last words of its own crash, is init's.
func (l *Log) parse(line []byte, long bool) body {
	b := body{Time: l.now(), Source: Init}
	if name, text, ok := bytes.Cut(line, []byte("| ")); ok && slices.Contains(bundleSources(), Source(name)) {
		b.Source, line = Source(name), text
	}
	hider := l.hider.Load()
	object, ok := parseObject(line)
	if !ok || long {
		b.Event, b.Fields = eventText, textFields(hider.text(string(line)), long)
		return b
	}
	object = hider.object(object)
	b.Event = eventLine
	if name, ok := object["event"].(string); ok && eventName.MatchString(name) {
		b.Event = name
	}
	b.Fields = encodeFields(object)
	return b
}
