package audit

import (
	"errors"
	"io"
	"time"
)

// File is what a log writes to.
type File = file

// OpenLimited is Open with another size limit.
func OpenLimited(path string, key Key, now func() time.Time, limit int64) (*Log, error) {
	chain, err := openChain(path, key, limit)
	if err != nil {
		return nil, err
	}
	log, err := start(chain, now)
	if err != nil {
		return nil, errors.Join(err, chain.file.Close())
	}
	return log, nil
}

// StartOn begins a log on any file.
func StartOn(file File, key Key, now func() time.Time) (*Log, error) {
	return start(&chain{file: file, key: key, limit: MaxSize, prev: genesis}, now)
}

// Forge spells a line as somebody without the key can.
func Forge(l Line) string {
	line, _, err := body{l.Seq, l.Time, l.Source, l.Event, l.Fields, l.Prev}.encode()
	if err != nil {
		panic(err)
	}
	return string(line)
}

// Decode reads one line.
func Decode(line string) (Line, error) { return decode([]byte(line)) }

// KeyOf makes a key of a seed.
func KeyOf(seed []byte) Key { return newKey(seed) }

// QueueSize is how many records wait for the writer.
const QueueSize = queueSize

// Buffered is how much of a line w keeps.
func Buffered(w io.Writer) int { return len(w.(*splitter).rest) }

// Hidden is how many values a log hides.
func Hidden(l *Log) int { return len(l.hider.Load().values) }

// SignCount is a head after prev that the host's key signed for another count of lines.
func SignCount(key Key, prev Line, count uint64) string {
	fields, err := marshal(headFields{
		Count: count, Hash: prev.Hash, Key: Fingerprint(key.public), Signature: key.sign(headMessage(count, prev.Hash, prev.Time)),
	})
	if err != nil {
		panic(err)
	}
	return Forge(Line{Seq: prev.Seq + 1, Time: prev.Time, Source: self, Event: eventHead, Fields: fields, Prev: prev.Hash})
}
