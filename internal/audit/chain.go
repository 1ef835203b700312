package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

const (
	eventOpen       = "open"
	eventHead       = "head"
	eventFull       = "full"
	eventSuppressed = "suppressed"

	// reserve is kept free for the last records of a full log.
	reserve = 4 << 10
)

// file is what a chain writes to. What is written goes to its end.
type file interface {
	io.Writer
	Truncate(size int64) error
	Sync() error
	Close() error
}

// chain writes lines; one goroutine at a time uses it.
type chain struct {
	file     file
	key      Key
	limit    int64
	size     int64 // of whole lines
	seq      uint64
	prev     string
	unsigned int // records since the last head
	torn     int64
	head     Head
}

// openFields say how a log was begun or continued.
type openFields struct {
	Format   int   `json:"format"`
	Unsigned int   `json:"unsigned,omitempty"`   // records before this one that nobody had signed
	Torn     int64 `json:"torn_bytes,omitempty"` // cut off at the end
}

// headFields sign the line before them.
type headFields struct {
	Count     uint64 `json:"count"`
	Hash      string `json:"hash"`
	Key       string `json:"key"`
	Signature string `json:"signature"`
}

// headMessage is what a head signs: how many lines, how the last one is hashed, and when.
func headMessage(count uint64, hash string, at time.Time) []byte {
	at = at.UTC().Truncate(time.Microsecond)
	return fmt.Appendf(nil, "bottle audit head 1\n%d\n%s\n%s\n", count, hash, at.Format(time.RFC3339Nano))
}

// openChain finds the end of a log, or makes an empty one, and locks it.
func openChain(path string, key Key, limit int64) (*chain, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	c := &chain{file: file, key: key, limit: limit, prev: genesis}
	if err := c.resume(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return c, nil
}

func (c *chain) resume(file *os.File) error {
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process writes it: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", file.Name())
	}
	s := scanner{expect: Expect{Key: c.key.public}}
	if err := s.scan(file, nil); err != nil {
		return err
	}
	c.size, c.seq, c.prev, c.unsigned, c.torn = s.size, s.summary.Lines, s.prev, s.summary.Unsigned, s.summary.Torn
	if c.torn > 0 {
		return file.Truncate(c.size)
	}
	return nil
}

// begin writes the first record of this process and signs it, and with it what an earlier
// one could not sign any more.
func (c *chain) begin(at time.Time) error {
	fields := openFields{Format: 1, Unsigned: c.unsigned, Torn: c.torn}
	raw, err := marshal(fields)
	if err != nil {
		return err
	}
	if err := c.add(body{Time: at, Source: self, Event: eventOpen, Fields: raw}); err != nil {
		return err
	}
	return c.seal(at)
}

// add writes a record. ErrFull comes with the last records that fit: they say so.
func (c *chain) add(b body) error {
	line, hash, err := c.next(b)
	if err != nil {
		return err
	}
	if c.size+int64(len(line))+reserve > c.limit {
		return errors.Join(ErrFull, c.sayFull(b.Time))
	}
	return c.write(line, hash)
}

func (c *chain) sayFull(at time.Time) error {
	line, hash, err := c.next(body{Time: at, Source: self, Event: eventFull, Fields: json.RawMessage(`{}`)})
	if err == nil {
		err = c.write(line, hash)
	}
	return errors.Join(err, c.seal(at))
}

// seal signs what is not signed yet and waits until the disk has it.
func (c *chain) seal(at time.Time) error {
	if c.unsigned == 0 {
		return nil
	}
	fields, err := marshal(headFields{
		Count: c.seq, Hash: c.prev, Key: Fingerprint(c.key.public), Signature: c.key.sign(headMessage(c.seq, c.prev, at)),
	})
	if err != nil {
		return err
	}
	line, hash, err := c.next(body{Time: at, Source: self, Event: eventHead, Fields: fields})
	if err != nil {
		return err
	}
	if err := c.write(line, hash); err != nil {
		return err
	}
	c.unsigned = 0
	if err := c.file.Sync(); err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	c.head = Head{Lines: c.seq, Hash: c.prev}
	return nil
}

func (c *chain) next(b body) ([]byte, string, error) {
	b.Seq, b.Prev = c.seq+1, c.prev
	return b.encode()
}

// write adds a whole line or nothing: after half of one, the file gets its old length.
func (c *chain) write(line []byte, hash string) error {
	n, err := c.file.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	if err != nil {
		if n > 0 {
			err = errors.Join(err, c.file.Truncate(c.size))
		}
		return err
	}
	c.size += int64(len(line))
	c.seq++
	c.prev = hash
	c.unsigned++
	return nil
}
