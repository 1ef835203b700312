package control

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxFrame bounds the JSON of one frame, in bytes.
const MaxFrame = 4 << 20

// ErrProtocol is wrapped by every refusal of what the other side sent.
var ErrProtocol = errors.New("control protocol violated")

// The types of message.
const (
	typeBootstrap = "bootstrap"
	typeShutdown  = "shutdown"
	typeReady     = "ready"
	typeRefused   = "refused"
	typeEvent     = "event"
	typeDeliver   = "deliver"
	typeInputs    = "inputs"
	typeAsk       = "ask"
	typeAnswer    = "answer"
)

// envelope is the JSON of a frame.
type envelope struct {
	Type string          `json:"type"`
	Body json.RawMessage `json:"body"`
}

// writeFrame sends one message in one Write, so that a reader who attaches in mid-stream
// starts at a frame.
func writeFrame(w io.Writer, kind string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", kind, err)
	}
	data, err := json.Marshal(envelope{kind, raw})
	if err != nil {
		return fmt.Errorf("encoding %s: %w", kind, err)
	}
	if len(data) > MaxFrame {
		return fmt.Errorf("sending %s: %d bytes, a frame holds %d", kind, len(data), MaxFrame)
	}
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...)
	defer clear(frame)
	if _, err := w.Write(frame); err != nil {
		return fmt.Errorf("sending %s: %w", kind, err)
	}
	return nil
}

// readFrame returns io.EOF only between two frames.
func readFrame(r io.Reader) (envelope, error) {
	var header [4]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return envelope{}, fmt.Errorf("%w: torn frame", ErrProtocol)
		}
		return envelope{}, err
	}
	size := binary.BigEndian.Uint32(header[:])
	if size == 0 || size > MaxFrame {
		return envelope{}, fmt.Errorf("%w: frame of %d bytes, 1 to %d are allowed", ErrProtocol, size, MaxFrame)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return envelope{}, fmt.Errorf("%w: torn frame", ErrProtocol)
		}
		return envelope{}, err
	}
	var message envelope
	if err := decode(data, &message); err != nil {
		return envelope{}, err
	}
	return message, nil
}

// decode is strict JSON: no unknown field, nothing after the value.
func decode(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the message", ErrProtocol)
	}
	return nil
}

// decodeBody decodes the body of a message; an absent body is an error, like null.
func decodeBody(message envelope, into any) error {
	if body := bytes.TrimSpace(message.Body); len(body) == 0 || body[0] != '{' {
		return fmt.Errorf("%w: %s without a body", ErrProtocol, message.Type)
	}
	return decode(message.Body, into)
}
