// Package wire is what the parts of smolvm-lite say to each other: client and
// supervisor over the control socket, supervisor and guest over one virtio port.
//
// Both ends are hostile to each other by assumption: every length is limited before
// anything is allocated, and an unknown byte ends the conversation, not the process.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Kind says what a frame carries.
type Kind byte

// The kinds of frames. The first frame of every conversation is a KindRequest.
const (
	KindRequest  Kind = 'R' // JSON Request
	KindStdin    Kind = 'i' // bytes for the command
	KindStdinEOF Kind = 'q' // no more of them
	KindAck      Kind = 'a' // u32: so many bytes of stdin were consumed
	KindResize   Kind = 'w' // u16 rows, u16 columns
	KindSignal   Kind = 's' // u8 signal number for the command's process group
	KindStdout   Kind = 'o'
	KindStderr   Kind = 'e'
	KindExit     Kind = 'x' // JSON Exit, always the last frame
)

const (
	// MaxData is the largest payload of a data frame.
	MaxData = 32 << 10
	// MaxJSON is the largest payload of a request or an exit.
	MaxJSON = 1 << 20
	// StdinWindow is how much stdin may be under way unacknowledged, so that the
	// guest never has to stop reading frames to wait for a slow command.
	StdinWindow = 256 << 10

	frameHeader = 5
)

// ErrProtocol is wrapped by every refusal of what the other side sent.
var ErrProtocol = errors.New("protocol violation")

// maxPayload is the limit of one kind, or -1 for a kind that does not exist.
func maxPayload(kind Kind) int {
	switch kind {
	case KindRequest, KindExit:
		return MaxJSON
	case KindStdin, KindStdout, KindStderr:
		return MaxData
	case KindAck, KindResize:
		return 4
	case KindSignal:
		return 1
	case KindStdinEOF:
		return 0
	}
	return -1
}

// Frame is one message.
type Frame struct {
	Kind    Kind
	Payload []byte
}

// ReadFrame reads one frame. It returns io.EOF only between two frames.
func ReadFrame(r io.Reader) (Frame, error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return Frame{}, err
	}
	kind, size := Kind(header[0]), binary.BigEndian.Uint32(header[1:])
	limit := maxPayload(kind)
	switch {
	case limit < 0:
		return Frame{}, fmt.Errorf("%w: unknown frame kind %#02x", ErrProtocol, byte(kind))
	case uint64(size) > uint64(limit):
		return Frame{}, fmt.Errorf("%w: frame %q of %d bytes, at most %d are allowed", ErrProtocol, kind, size, limit)
	case limit == 4 && size != 4, limit == 1 && size != 1:
		return Frame{}, fmt.Errorf("%w: frame %q of %d bytes, want %d", ErrProtocol, kind, size, limit)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return Frame{}, fmt.Errorf("reading a frame: %w", noEOF(err))
	}
	return Frame{Kind: kind, Payload: payload}, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Decode reads the JSON of a request or an exit.
func (f Frame) Decode(kind Kind, into any) error {
	if f.Kind != kind {
		return fmt.Errorf("%w: frame %q where %q was expected", ErrProtocol, f.Kind, kind)
	}
	if err := json.Unmarshal(f.Payload, into); err != nil {
		return fmt.Errorf("%w: decoding frame %q: %w", ErrProtocol, kind, err)
	}
	return nil
}

// Conn writes and reads frames. Send may be called from many goroutines.
type Conn struct {
	rwc io.ReadWriteCloser
	mu  sync.Mutex
	out []byte
}

// NewConn owns rwc from now on.
func NewConn(rwc io.ReadWriteCloser) *Conn { return &Conn{rwc: rwc} }

// Close ends the conversation and every blocked Send and Receive.
func (c *Conn) Close() error { return c.rwc.Close() }

// Receive reads the next frame.
func (c *Conn) Receive() (Frame, error) { return ReadFrame(c.rwc) }

// Send writes one frame in one Write.
func (c *Conn) Send(kind Kind, payload []byte) error {
	if len(payload) > maxPayload(kind) {
		return fmt.Errorf("%w: sending %d bytes in frame %q", ErrProtocol, len(payload), kind)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out[:0], byte(kind))
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(len(payload)))
	c.out = append(c.out, payload...)
	_, err := c.rwc.Write(c.out)
	return err
}

// SendJSON writes a request or an exit.
func (c *Conn) SendJSON(kind Kind, value any) error {
	payload, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding frame %q: %w", kind, err)
	}
	return c.Send(kind, payload)
}

// SendData writes any number of bytes in frames of at most MaxData.
func (c *Conn) SendData(kind Kind, data []byte) error {
	for len(data) > 0 {
		n := min(len(data), MaxData)
		if err := c.Send(kind, data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// SendAck tells that n more bytes of stdin were consumed.
func (c *Conn) SendAck(n int) error {
	return c.Send(KindAck, binary.BigEndian.AppendUint32(nil, uint32(n)))
}

// SendResize tells the size of the terminal.
func (c *Conn) SendResize(rows, cols uint16) error {
	payload := binary.BigEndian.AppendUint16(nil, rows)
	return c.Send(KindResize, binary.BigEndian.AppendUint16(payload, cols))
}

// Ack reads a KindAck payload.
func (f Frame) Ack() int { return int(binary.BigEndian.Uint32(f.Payload)) }

// Resize reads a KindResize payload.
func (f Frame) Resize() (rows, cols uint16) {
	return binary.BigEndian.Uint16(f.Payload), binary.BigEndian.Uint16(f.Payload[2:])
}
