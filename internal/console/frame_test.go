package console

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// Whatever comes, the reader ends, holds no more than a frame, and what it takes for a
// frame is written the same way again.
func FuzzReadFrame(f *testing.F) {
	f.Add(appendFrame(nil, kindInput, []byte("ls\r")))
	f.Add(appendFrame(appendFrame(nil, kindHello, encode(Hello{Version: 1, Rows: 3})), kindResize, encodeSize(24, 80)))
	f.Add([]byte{'o', 0xff, 0xff, 0xff, 0xff, 'x'})
	f.Add([]byte{'h', 0, 0, 0, 9, '{'})
	f.Fuzz(func(t *testing.T, data []byte) {
		in, buffer := bytes.NewReader(data), make([]byte, maxPayload)
		var again []byte
		for {
			k, payload, err := readFrame(in, buffer)
			if err != nil {
				if !errors.Is(err, errFrame) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("ends with %v", err)
				}
				break
			}
			again = appendFrame(again, k, payload)
			switch k {
			case kindHello:
				_, _ = parseHello(payload)
			case kindResize:
				_, _, _ = parseSize(payload)
			}
		}
		if !bytes.HasPrefix(data, again) {
			t.Errorf("%q was read as %q", data, again)
		}
	})
}

func TestLongOutputIsCut(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	long := bytes.Repeat([]byte("x"), 2*maxPayload+1)
	if err := writeFrames(&out, kindOutput, long); err != nil {
		t.Fatal(err)
	}
	var got []byte
	buffer := make([]byte, maxPayload)
	for {
		_, payload, err := readFrame(&out, buffer)
		if err != nil {
			break
		}
		got = append(got, payload...)
	}
	if !bytes.Equal(got, long) {
		t.Errorf("%d bytes of %d", len(got), len(long))
	}
}
