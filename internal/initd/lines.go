//go:build linux

package initd

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// maxLine is where a line without an end is broken, in bytes.
const maxLine = 16 << 10

// journal is the container's stderr, one whole line at a time.
type journal struct {
	mu  sync.Mutex
	out io.Writer
}

func (j *journal) line(from string, text []byte) {
	line := append([]byte(from+"| "), text...)
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = j.out.Write(append(line, '\n'))
}

// printf writes a line of init's own.
func (j *journal) printf(format string, args ...any) {
	j.line("init", fmt.Appendf(nil, format, args...))
}

// stream is one output of a daemon. Each write end needs its own.
type stream struct {
	from    string
	journal *journal
	mu      sync.Mutex
	rest    []byte
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, p...)
	for {
		line, after, ended := bytes.Cut(s.rest, []byte{'\n'})
		switch {
		case len(line) > maxLine:
			line, after = s.rest[:maxLine], s.rest[maxLine:]
		case !ended:
			return len(p), nil
		}
		s.journal.line(s.from, line)
		s.rest = after
	}
}

// flush writes what has no end of line; its writer is gone.
func (s *stream) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rest) > 0 {
		s.journal.line(s.from, s.rest)
		s.rest = nil
	}
}
