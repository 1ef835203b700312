package console

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// kind says what a frame carries.
type kind byte

// The frames of a viewer, and those of the owner.
const (
	kindHello  kind = 'h' // [Hello], first and once
	kindInput  kind = 'i' // what was typed
	kindResize kind = 'r' // rows and columns, 16 bits each

	kindOutput kind = 'o' // what the agent printed
	kindExit   kind = 'x' // [Exit], last
	kindError  kind = 'e' // why the owner ends the connection, for a person
)

// maxPayload bounds a frame.
const maxPayload = 64 << 10

const headerSize = 5

// Version of the protocol. Viewer and owner are the same program, but not always the same
// build of it.
const Version = 1

// Hello is how a viewer begins.
type Hello struct {
	Version  int  `json:"version"`
	ReadOnly bool `json:"read_only,omitempty"`
	// Rows and Cols are the viewer's screen; 0 without one.
	Rows uint16 `json:"rows,omitempty"`
	Cols uint16 `json:"cols,omitempty"`
}

// Exit is how the agent ended.
type Exit struct {
	Code int `json:"code"`
	// Problem is set when the agent's own code is not known.
	Problem string `json:"problem,omitempty"`
}

// errFrame means that the other side speaks something else.
var errFrame = errors.New("a frame that is none of ours")

func knownKind(k kind) bool {
	switch k {
	case kindHello, kindInput, kindResize, kindOutput, kindExit, kindError:
		return true
	}
	return false
}

func appendFrame(out []byte, k kind, payload []byte) []byte {
	out = append(out, byte(k))
	out = binary.BigEndian.AppendUint32(out, uint32(len(payload)))
	return append(out, payload...)
}

// writeFrames cuts data into as many frames as it takes.
func writeFrames(w io.Writer, k kind, data []byte) error {
	for {
		n := min(len(data), maxPayload)
		if _, err := w.Write(appendFrame(nil, k, data[:n])); err != nil {
			return err
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
}

// readFrame reads one frame into buffer, which has maxPayload bytes; the payload is only
// valid until the next one.
func readFrame(r io.Reader, buffer []byte) (kind, []byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	k, size := kind(header[0]), binary.BigEndian.Uint32(header[1:])
	if !knownKind(k) || size > maxPayload {
		return 0, nil, fmt.Errorf("%w: kind %d, %d bytes", errFrame, k, size)
	}
	payload := buffer[:size]
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, fmt.Errorf("a frame that was cut off: %w", err)
	}
	return k, payload, nil
}

func encode(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // plain structs
	}
	return data
}

func parseHello(payload []byte) (Hello, error) {
	var hello Hello
	if err := json.Unmarshal(payload, &hello); err != nil {
		return hello, fmt.Errorf("%w: %w", errFrame, err)
	}
	if hello.Version != Version {
		return hello, fmt.Errorf("the bottle's owner speaks version %d of attach, this bottle %d: use the program that started it", Version, hello.Version)
	}
	return hello, nil
}

func encodeSize(rows, cols int) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, uint16(rows)), uint16(cols))
}

func parseSize(payload []byte) (rows, cols uint16, err error) {
	if len(payload) != 4 {
		return 0, 0, fmt.Errorf("%w: a size of %d bytes", errFrame, len(payload))
	}
	return binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:]), nil
}
