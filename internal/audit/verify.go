package audit

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Kind says what is wrong with a log.
type Kind string

// What can be wrong.
const (
	Changed   Kind = "changed"
	Removed   Kind = "removed"
	Reordered Kind = "reordered"
	Inserted  Kind = "inserted"
	Cut       Kind = "cut"       // the end that was expected is not there
	Torn      Kind = "torn"      // it ends in the middle of a line
	Unsigned  Kind = "unsigned"  // lines at the end that no head signs
	Signature Kind = "signature" // a head that the host's key did not sign
	OtherKey  Kind = "key"       // a head of another host
	Misplaced Kind = "misplaced" // the true log of another bottle
)

// BrokenError says where a log stops being true. What is before that line and before the
// last head is signed; lines between the two fit the chain, which proves nothing.
type BrokenError struct {
	Line uint64 // counts from 1
	Kind Kind
	Text string
}

func (e *BrokenError) Error() string { return fmt.Sprintf("line %d %s", e.Line, e.Text) }

// Expect is what a log is checked against.
type Expect struct {
	Key  ed25519.PublicKey
	Head string // the hash that was printed at its end, or empty
	// Live says that somebody may be writing it: one batch at its end may be without a
	// signature, and the last line without its end.
	Live bool
	// Follows says that the reader waits for more instead of ending: a line that is missing
	// is not looked for in what comes later.
	Follows bool
}

// maxLive is how many lines a writer can have before it signs: counts of denials may come
// on top of a batch.
const maxLive = Batch + 10

// maxUnsigned is how many lines can be between two heads: one process was killed before it
// signed, and the next one before it signed what it had begun with.
const maxUnsigned = 4 * maxLive

// Summary says what a log holds.
type Summary struct {
	Lines     uint64      `json:"lines"`
	Heads     int         `json:"heads"`
	Unsigned  int         `json:"unsigned"`   // lines after the last head
	Torn      int64       `json:"torn_bytes"` // after the last whole line
	Head      string      `json:"head"`       // the hash of the last head
	Key       string      `json:"key"`
	First     time.Time   `json:"first"`
	Last      time.Time   `json:"last"`
	Continued []Continued `json:"continued,omitempty"`
}

// Continued tells of a log that was written on after its process had been killed.
type Continued struct {
	Line     uint64 `json:"line"`
	Unsigned int    `json:"unsigned"`   // lines before it that are only as true as the disk
	Torn     int64  `json:"torn_bytes"` // of a line that was cut off
}

// Verify reads a log to its end. The first thing that is wrong with it is a
// [*BrokenError]; the summary is then of what is before.
func Verify(r io.Reader, expect Expect) (Summary, error) { return Scan(r, expect, nil) }

// Scan is [Verify] that shows each line to visit as soon as it fits the chain. An error of
// visit ends it.
func Scan(r io.Reader, expect Expect, visit func(Line) error) (Summary, error) {
	if len(expect.Key) != ed25519.PublicKeySize {
		return Summary{}, errors.New("verifying an audit log: there is no key to verify it with")
	}
	s := scanner{expect: expect}
	err := s.scan(r, visit)
	if err == nil {
		err = s.finish()
	}
	return s.summary, err
}

// scanner follows the chain.
type scanner struct {
	expect  Expect
	summary Summary
	size    int64 // of whole lines
	prev    string
	found   bool // the expected head
}

// scan reads whole lines; what is left of one at the end is counted only.
func (s *scanner) scan(r io.Reader, visit func(Line) error) error {
	s.prev, s.summary.Key = genesis, Fingerprint(s.expect.Key)
	reader := bufio.NewReaderSize(r, maxLine)
	for {
		text, err := reader.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return s.broken(Changed, "is longer than any record")
		case errors.Is(err, io.EOF):
			s.summary.Torn = int64(len(text))
			return nil
		case err != nil:
			return fmt.Errorf("reading an audit log: %w", err)
		}
		line, err := decode(text[:len(text)-1])
		if err != nil {
			return s.broken(Changed, "%v: it was changed", err)
		}
		if err := s.follow(line, reader); err != nil {
			return err
		}
		s.size += int64(len(text))
		if visit == nil {
			continue
		}
		if err := visit(line); err != nil {
			return err
		}
	}
}

func (s *scanner) broken(kind Kind, format string, args ...any) error {
	return &BrokenError{Line: s.summary.Lines + 1, Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// follow checks that a line is the next one.
func (s *scanner) follow(line Line, rest *bufio.Reader) error {
	want := s.summary.Lines + 1
	switch {
	case line.Seq > want && !s.expect.Follows && s.comesLater(rest):
		return s.broken(Reordered, "has number %d, and number %d comes later: lines were reordered", line.Seq, want)
	case line.Seq > want:
		return s.broken(Removed, "has number %d: %d before it were removed", line.Seq, line.Seq-want)
	case line.Seq < want:
		return s.broken(Inserted, "has number %d, which was there before: a line was inserted", line.Seq)
	case line.Prev != s.prev:
		return s.broken(Changed, "does not follow the line before it: one of them was changed")
	}
	if err := s.own(line); err != nil {
		return err
	}
	if s.summary.Lines == 0 {
		s.summary.First = line.Time
	}
	s.summary.Lines++
	s.summary.Last = line.Time
	s.prev = line.Hash
	s.found = s.found || line.Hash == s.expect.Head
	return nil
}

// comesLater looks for the line that should be here in what was not read yet.
func (s *scanner) comesLater(rest *bufio.Reader) bool {
	for {
		text, err := rest.ReadSlice('\n')
		if err != nil {
			return false
		}
		line, err := decode(bytes.TrimSuffix(text, []byte("\n")))
		if err == nil && line.Seq == s.summary.Lines+1 && line.Prev == s.prev {
			return true
		}
	}
}

// own checks the log's own records, which say what is signed.
func (s *scanner) own(line Line) error {
	first := s.summary.Lines == 0
	switch {
	case line.Source == self && line.Event == eventHead && !first:
		return s.checkHead(line)
	case line.Source == self && line.Event == eventOpen:
		var fields openFields
		if err := strict(line.Fields, &fields); err != nil || fields.Format != 1 || fields.Unsigned != s.summary.Unsigned {
			return s.broken(Changed, "does not say what is before it: it was changed")
		}
		if fields.Unsigned > 0 || fields.Torn > 0 {
			s.summary.Continued = append(s.summary.Continued, Continued{s.summary.Lines + 1, fields.Unsigned, fields.Torn})
		}
	case first:
		return s.broken(Changed, "is not how a log begins: it was changed")
	}
	s.summary.Unsigned++
	if s.summary.Unsigned > maxUnsigned { // who waits for a head must not wait for ever
		return s.broken(Unsigned, "is not signed, nor %d before it: no writer leaves so many", s.summary.Unsigned-1)
	}
	return nil
}

func (s *scanner) checkHead(line Line) error {
	var head headFields
	if err := strict(line.Fields, &head); err != nil {
		return s.broken(Signature, "is no signature: %v", err)
	}
	if head.Key != s.summary.Key {
		return s.broken(OtherKey, "is signed with key %.16q, and the key of this host is %q", head.Key, s.summary.Key)
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(head.Signature)
	if err != nil || head.Count != line.Seq-1 || head.Hash != line.Prev ||
		!ed25519.Verify(s.expect.Key, headMessage(head.Count, head.Hash, line.Time), signature) {
		return s.broken(Signature, "has a bad signature: something before it was changed")
	}
	s.summary.Heads++
	s.summary.Unsigned = 0
	s.summary.Head = line.Hash
	return nil
}

// finish judges the end.
func (s *scanner) finish() error {
	switch {
	case s.summary.Torn > 0 && !s.expect.Live:
		return s.broken(Torn, "has no end: the log was cut in the middle of it, or its process was killed")
	case s.summary.Lines == 0:
		return s.broken(Cut, "is missing: the log is empty")
	case s.expect.Head != "" && !s.found:
		return s.broken(Cut, "is missing: the log should reach %s, its end was cut off", s.expect.Head)
	case s.summary.Unsigned > 0 && !s.expect.Live, s.summary.Unsigned > maxLive:
		first := s.summary.Lines + 1 - uint64(s.summary.Unsigned)
		return &BrokenError{Line: first, Kind: Unsigned, Text: fmt.Sprintf(
			"is not signed, and %d after it: they were appended by somebody else, or the process was killed", s.summary.Unsigned-1)}
	}
	return nil
}

// strict decodes a record of the log's own, which has one spelling.
func strict(raw json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
