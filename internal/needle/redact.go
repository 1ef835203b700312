package needle

import "io"

const mark = "[redacted]"

// cover overwrites a needle. The length stays, so that Content-Length, ranges and the
// frames of a WebSocket remain true.
func cover(needle []byte) {
	n := 0
	if len(needle) >= len(mark) {
		n = copy(needle, mark)
	}
	for i := n; i < len(needle); i++ {
		needle[i] = '*'
	}
}

// Redact returns text with every needle overwritten.
func (s *Set) Redact(text string) string {
	if _, found := s.Find(text); !found {
		return text
	}
	data := []byte(text)
	scanner := Scanner{Set: s}
	scanner.redact(data, 0)
	return string(data)
}

// redact overwrites the needles that end in data[from:]; before from are the bytes that
// an earlier call held back. It returns how many bytes of data may go out.
func (s *Scanner) redact(data []byte, from int) (safe int) {
	for from < len(data) {
		end, _, found := scan(s, data[from:])
		from += end
		if !found {
			break
		}
		cover(data[from-int(s.Set.nodes[s.at].match) : from])
		// What is left of an overlapping needle is not whole any more.
		s.at = 0
	}
	return len(data) - int(s.Set.nodes[s.at].depth)
}

// Reader passes a stream on with every needle overwritten.
type Reader struct {
	source  io.Reader
	scanner Scanner
	held    []byte // a proper beginning of a needle
	ready   []byte // for readers with small buffers
	err     error
	spare   []byte
}

// NewReader redacts what source delivers.
func NewReader(source io.Reader, set *Set) *Reader {
	return &Reader{source: source, scanner: Scanner{Set: set}}
}

// Read implements [io.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	if r.scanner.Set.Empty() {
		return r.source.Read(p)
	}
	for {
		switch {
		case len(p) == 0:
			return 0, nil
		case len(r.ready) > 0:
			n := copy(p, r.ready)
			r.ready = r.ready[n:]
			return n, nil
		case r.err != nil:
			return 0, r.err
		case len(p) > r.scanner.Set.deepest:
			if n := r.fill(p); n > 0 {
				return n, nil
			}
		default:
			if r.spare == nil {
				r.spare = make([]byte, r.scanner.Set.deepest+4096)
			}
			r.ready = r.spare[:r.fill(r.spare)]
		}
	}
}

// fill reads once into buffer, which is longer than any needle, and returns how many
// bytes of it may go out.
func (r *Reader) fill(buffer []byte) int {
	before := copy(buffer, r.held)
	n, err := r.source.Read(buffer[before:])
	data := buffer[:before+n]
	safe := r.scanner.redact(data, before)
	if err != nil {
		// The end: what was held back is no needle.
		r.err, safe = err, len(data)
	}
	r.held = append(r.held[:0], data[safe:]...)
	return safe
}
