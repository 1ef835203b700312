package egress

import (
	"encoding/binary"
	"errors"
)

// frames follows the frames of a WebSocket client (RFC 6455) and judges their payload
// under the mask, whatever the pieces are that it arrives in.
type frames struct {
	data, control *stream

	head    [14]byte
	have    int    // bytes of head
	left    uint64 // payload still to come
	at      int    // place in the mask
	isData  bool
	scratch [512]byte
}

var errFrame = errors.New("the agent sent a WebSocket frame that is not masked, is compressed or is not valid")

func newFrames(w watch, rt *route) *frames {
	return &frames{data: w.stream(rt.Route), control: w.stream(rt.Route)}
}

// feed reads the next bytes of the stream.
func (f *frames) feed(piece []byte) (found []*sighting, err error) {
	for len(piece) > 0 {
		if f.left > 0 {
			n := int(min(uint64(len(piece)), f.left, uint64(len(f.scratch))))
			found = append(found, f.payload(piece[:n])...)
			piece = piece[n:]
			continue
		}
		f.head[f.have] = piece[0]
		f.have++
		piece = piece[1:]
		if err := f.begin(); err != nil {
			return found, err
		}
	}
	return found, nil
}

func (f *frames) payload(masked []byte) []*sighting {
	mask := f.head[f.have-4 : f.have]
	for i, b := range masked {
		f.scratch[i] = b ^ mask[(f.at+i)%4]
	}
	f.at = (f.at + len(masked)) % 4
	if f.left -= uint64(len(masked)); f.left == 0 {
		defer func() { f.have = 0 }()
	}
	if f.isData {
		return f.data.piece(f.scratch[:len(masked)])
	}
	return f.control.piece(f.scratch[:len(masked)])
}

// begin looks whether the head is whole.
func (f *frames) begin() error {
	if f.head[0]&0x70 != 0 || (f.have > 1 && f.head[1]&0x80 == 0) {
		return errFrame
	}
	if f.have < 2 {
		return nil
	}
	short := f.head[1] & 0x7f
	want := 6
	switch short {
	case 126:
		want = 8
	case 127:
		want = 14
	}
	if f.have < want {
		return nil
	}
	f.left, f.at, f.isData = uint64(short), 0, f.head[0]&0x08 == 0
	switch short {
	case 126:
		f.left = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		f.left = binary.BigEndian.Uint64(f.head[2:])
	}
	if f.left>>63 != 0 || (!f.isData && f.left > 125) {
		return errFrame
	}
	if f.left == 0 {
		f.have = 0
	}
	return nil
}
